// oidc-provider doing the token service's work: mutual TLS, tokens bound to certificates
// or DPoP keys, opaque ones on demand. Everything is kept in memory, without a limit.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'

// It is made for later versions of Node; this is all it misses in version 20.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null)
const { Provider } = await import('oidc-provider')

const given = JSON.parse(readFileSync(0))
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const names = (socket) => {
  // Node reads the names anew at each call: once a connection is enough.
  socket.benchNames ??= socket.getPeerCertificate().subjectaltname?.split(', ') ?? []
  return socket.benchNames
}
const client = {
  token_endpoint_auth_method: 'tls_client_auth',
  tls_client_auth_san_uri: 'spiffe://shop.internal/service/storefront',
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  id_token_signed_response_alg: 'ES256',
}

// Its own adapter in memory forgets all but the newest thousand entries.
class Memory {
  static all = new Map()

  constructor(name) {
    this.name = name
  }

  async upsert(id, payload) {
    Memory.all.set(`${this.name}:${id}`, payload)
  }

  async find(id) {
    return Memory.all.get(`${this.name}:${id}`)
  }

  async consume(id) {
    Memory.all.get(`${this.name}:${id}`).consumed = Math.floor(Date.now() / 1000)
  }

  async destroy(id) {
    Memory.all.delete(`${this.name}:${id}`)
  }

  async revokeByGrantId() {}
  async findByUid() {}
  async findByUserCode() {}
}

const provider = new Provider(given.issuer, {
  adapter: Memory,
  clients: [
    { ...client, client_id: 'storefront', tls_client_certificate_bound_access_tokens: true },
    { ...client, client_id: 'storefront-dpop', dpop_bound_access_tokens: true },
  ],
  jwks: {
    keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'one' }],
  },
  clientAuthMethods: ['tls_client_auth'],
  scopes: [given.scope],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      getCertificate: (ctx) => {
        ctx.socket.benchCertificate ??= ctx.socket.getPeerX509Certificate()
        return ctx.socket.benchCertificate
      },
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_uri' && names(ctx.socket).includes(`URI:${expected}`),
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        audience: resource,
        scope: given.scope,
        accessTokenFormat: given.format ?? 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})

provider.on('server_error', (ctx, error) => console.error(error))

const tls = { cert: given.certificate, key: given.key, ca: given.bundle, minVersion: 'TLSv1.3' }
createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, provider.callback())
  .listen(given.port, '127.0.0.1')
