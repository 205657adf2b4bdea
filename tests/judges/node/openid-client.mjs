// openid-client gets tokens of our token service and uses them at a guarded service.

import * as oidc from 'openid-client'
import { fetchAs, given, report } from './common.mjs'

const { issuer, resource, audience, scope } = given

function configuration(clientId, identity) {
  return oidc.discovery(
    new URL(issuer),
    clientId,
    { use_mtls_endpoint_aliases: true },
    oidc.TlsClientAuth(),
    { algorithm: 'oauth2', [oidc.customFetch]: fetchAs(identity) },
  )
}

const storefront = await configuration('storefront', 'storefront')
const stock = await configuration('stock', 'stock')
const orders = await configuration('orders', 'orders')
const keyed = await configuration('storefront-dpop', 'storefront')
const phantom = await configuration('storefront-opaque', 'storefront')
const DPoP = oidc.getDPoPHandle(keyed, await oidc.randomDPoPKeyPair('ES256'))
const other = oidc.getDPoPHandle(keyed, await oidc.randomDPoPKeyPair('Ed25519'))

const wanted = { resource: audience, scope }
const bound = await oidc.clientCredentialsGrant(storefront, wanted)
const proved = await oidc.clientCredentialsGrant(keyed, wanted, { DPoP })
const opaque = await oidc.clientCredentialsGrant(phantom, wanted)

async function call(config, token, options) {
  const url = new URL(resource)
  const answer = await oidc.fetchProtectedResource(
    config, token.access_token, url, 'GET', undefined, undefined, options,
  )
  return { status: answer.status, body: await answer.json() }
}

await report({
  bound: () => bound,
  bound_call: () => call(storefront, bound),
  bound_stolen: () => call(stock, bound),
  impostor: async () =>
    oidc.clientCredentialsGrant(await configuration('storefront', 'stock'), wanted),
  dpop: () => proved,
  dpop_call: () => call(keyed, proved, { DPoP }),
  dpop_without_proof: () => call(keyed, proved),
  dpop_other_key: () => call(keyed, proved, { DPoP: other }),
  opaque: () => opaque,
  introspected: () => oidc.tokenIntrospection(orders, opaque.access_token),
  introspected_by_another: () => oidc.tokenIntrospection(stock, opaque.access_token),
  exchanged: () =>
    oidc.genericGrantRequest(
      orders,
      'urn:ietf:params:oauth:grant-type:token-exchange',
      {
        subject_token: bound.access_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        resource: given.next_audience,
      },
    ),
  exchanged_by_another: () =>
    oidc.genericGrantRequest(
      stock,
      'urn:ietf:params:oauth:grant-type:token-exchange',
      {
        subject_token: bound.access_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        resource: given.next_audience,
      },
    ),
  revoked: async () => {
    await oidc.tokenRevocation(phantom, opaque.access_token)
    return oidc.tokenIntrospection(orders, opaque.access_token)
  },
})
