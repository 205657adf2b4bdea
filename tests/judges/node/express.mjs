// A resource server by express-oauth2-jwt-bearer, with the identity of orders: at
// /required a token must be bound to the caller's certificate, at /enabled it may be.

import { Agent, createServer } from 'node:https'
import express from 'express'
import { auth } from 'express-oauth2-jwt-bearer'
import { given } from './common.mjs'

const { certificate, key } = given.identities.orders
const tls = { cert: certificate, key, ca: given.bundle, minVersion: 'TLSv1.3' }
const app = express()

for (const [path, required] of [['/required', true], ['/enabled', false]]) {
  const guard = auth({
    issuerBaseURL: given.issuer,
    audience: given.audience,
    tokenSigningAlg: 'ES256',
    strict: true,
    agent: new Agent(tls),
    mtls: { enabled: true, required },
    getCertificate: (request) => request.socket.getPeerCertificate().raw,
  })
  app.get(path, guard, (request, response) => {
    response.json({ caller: request.auth.payload.client_id })
  })
}

app.use((error, request, response, next) => {
  response.status(error.status ?? 500).set(error.headers ?? {})
  response.json({ error: error.code ?? null, message: error.message })
})

// Whoever shows no certificate is left to the guard.
createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, app)
  .listen(given.port, '127.0.0.1')
