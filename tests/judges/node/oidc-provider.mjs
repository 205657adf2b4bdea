// oidc-provider as the token service of a mesh: mutual TLS, tokens bound to certificates
// or to DPoP keys, with nonces, for the resources of the mesh.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:https'
import { given } from './common.mjs'

// It is made for later versions of Node; this is all it misses in version 20.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null)
const { Provider } = await import('oidc-provider')

const { certificate, key } = given.identities['token-service']
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const name = 'spiffe://shop.internal/service/storefront'
const names = (peer) => peer.subjectaltname?.split(', ') ?? []
const client = {
  token_endpoint_auth_method: 'tls_client_auth',
  tls_client_auth_san_uri: name,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  id_token_signed_response_alg: 'ES256',
}

const provider = new Provider(given.issuer, {
  clients: [
    { ...client, client_id: 'storefront', tls_client_certificate_bound_access_tokens: true },
    { ...client, client_id: 'storefront-dpop', dpop_bound_access_tokens: true },
    { ...client, client_id: 'storefront-bearer' },
  ],
  jwks: {
    keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'one' }],
  },
  clientAuthMethods: ['tls_client_auth'],
  scopes: [given.scope],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_uri' &&
        names(ctx.socket.getPeerCertificate()).includes(`URI:${expected}`),
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        audience: resource,
        scope: given.scope,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})

provider.on('server_error', (ctx, error) => console.error(error))

const tls = { cert: certificate, key, ca: given.bundle, minVersion: 'TLSv1.3' }
createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, provider.callback())
  .listen(given.port, '127.0.0.1')
