// A resource server as one would write it with jose: signature, issuer, audience, times,
// and the binding of the token to the certificate of the connection.

import { readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { createServer } from 'node:https'
import { createLocalJWKSet, jwtVerify } from 'jose'

const given = JSON.parse(readFileSync(0))
const keys = createLocalJWKSet(given.keys)

const thumbprint = (socket) => {
  socket.benchThumbprint ??= createHash('sha256')
    .update(socket.getPeerCertificate().raw)
    .digest('base64url')
  return socket.benchThumbprint
}

const refuse = (response, status, error) => {
  response.writeHead(status, { 'www-authenticate': `Bearer error="${error}"` })
  response.end()
}

const answer = async (request, response) => {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ')
  if (scheme !== 'Bearer' || !token) return refuse(response, 401, 'invalid_token')
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer: given.tokens,
      audience: given.audience,
      typ: 'at+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['exp', 'iat', 'jti', 'client_id'],
    })
    if (payload.cnf?.['x5t#S256'] !== thumbprint(request.socket)) {
      return refuse(response, 401, 'invalid_token')
    }
    if (!payload.scope.split(' ').includes(given.scope)) {
      return refuse(response, 403, 'insufficient_scope')
    }
    const body = JSON.stringify({ service: 'orders', caller: payload.client_id })
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(body)
  } catch {
    refuse(response, 401, 'invalid_token')
  }
}

const tls = { cert: given.certificate, key: given.key, ca: given.bundle, minVersion: 'TLSv1.3' }
createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, answer)
  .listen(given.port, '127.0.0.1')
