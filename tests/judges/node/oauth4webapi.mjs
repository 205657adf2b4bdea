// oauth4webapi gets tokens of our token service and uses them, and is a resource
// server that takes them.

import * as oauth from 'oauth4webapi'
import { fetchAs, given, report } from './common.mjs'

const { issuer, resource, audience, scope } = given
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const authentication = oauth.TlsClientAuth()

function as(identity) {
  return { [oauth.customFetch]: fetchAs(identity) }
}

const url = new URL(issuer)
const server = await oauth.processDiscoveryResponse(
  url,
  await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...as('storefront') }),
)

function client(clientId) {
  return {
    client_id: clientId,
    use_mtls_endpoint_aliases: true,
    introspection_signed_response_alg: 'ES256',
  }
}

async function token(clientId, identity, DPoP) {
  const ask = async () => {
    const response = await oauth.clientCredentialsGrantRequest(
      server, client(clientId), authentication, { resource: audience, scope },
      { ...as(identity), DPoP },
    )
    return oauth.processClientCredentialsResponse(server, client(clientId), response)
  }
  try {
    return await ask()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return ask() // the handle has learnt the nonce
  }
}

async function call(identity, token, DPoP) {
  const ask = () =>
    oauth.protectedResourceRequest(
      token.access_token, 'GET', new URL(resource), undefined, undefined,
      { ...as(identity), DPoP },
    )
  let response
  try {
    response = await ask()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    response = await ask()
  }
  return { status: response.status, body: await response.json() }
}

async function exchange(clientId, subject) {
  const parameters = {
    subject_token: subject.access_token,
    subject_token_type: ACCESS_TOKEN,
    resource: given.next_audience,
  }
  const response = await oauth.genericTokenEndpointRequest(
    server, client(clientId), authentication, EXCHANGE, parameters, as(clientId),
  )
  return oauth.processGenericTokenEndpointResponse(server, client(clientId), response)
}

// The library compares the `aud` of a signed answer with the id of the client that asks;
// ours names the resource service by its audience, as the example of RFC 9701 does. So
// who asks is registered under that name.
async function introspect(identity, text, name = audience, expected = name) {
  const response = await oauth.introspectionRequest(
    server, client(name), authentication, text,
    { ...as(identity), requestJwtResponse: true },
  )
  const seen = await oauth.processIntrospectionResponse(
    server, client(expected), response,
  )
  await oauth.validateApplicationLevelSignature(server, response, as(identity))
  return { ...seen, content_type: response.headers.get('content-type') }
}

// As a resource server: a request as it would arrive there.
function accept(headers, expected = audience, requireDPoP = false) {
  const request = new Request(resource, { headers })
  return oauth.validateJwtAccessToken(server, request, expected, {
    ...as('orders'), requireDPoP,
  })
}

/** Return the headers that a client of ours would send with a token. */
async function presented(token, DPoP) {
  let seen
  await oauth.protectedResourceRequest(
    token.access_token, 'GET', new URL(resource), undefined, undefined,
    {
      DPoP,
      [oauth.customFetch]: async (_, options) => {
        seen = options.headers
        return new Response('')
      },
    },
  )
  return seen
}

const keyed = client('storefront-dpop')
const DPoP = oauth.DPoP(keyed, await oauth.generateKeyPair('ES256'))
const other = oauth.DPoP(keyed, await oauth.generateKeyPair('PS256'))
const bound = await token('storefront', 'storefront')
const proved = await token('storefront-dpop', 'storefront', DPoP)
const opaque = await token('storefront-opaque', 'storefront')

await report({
  bound: () => bound,
  bound_call: () => call('storefront', bound),
  bound_stolen: () => call('stock', bound),
  impostor: () => token('storefront', 'stock'),
  dpop: () => proved,
  dpop_call: () => call('storefront', proved, DPoP),
  dpop_without_proof: () => call('storefront', proved),
  dpop_other_key: () => call('storefront', proved, other),
  opaque: () => opaque,
  introspected: () => introspect('orders', opaque.access_token),
  introspected_by_another: () => introspect('stock', opaque.access_token, given.next_audience),
  introspected_as_another: () =>
    introspect('stock', opaque.access_token, given.next_audience, audience),
  exchanged: () => exchange('orders', bound),
  exchanged_by_another: () => exchange('stock', bound),
  revoked: async () => {
    const response = await oauth.revocationRequest(
      server, client('storefront-opaque'), authentication, opaque.access_token,
      as('storefront'),
    )
    await oauth.processRevocationResponse(response)
    return introspect('orders', opaque.access_token)
  },
  served: async () => accept(await presented(proved, DPoP), audience, true),
  served_other_key: async () => accept(await presented(proved, other)),
  served_without_proof: async () => accept(await presented(proved)),
  served_other_audience: async () =>
    accept(await presented(proved, DPoP), given.next_audience),
  served_introspection: async () => {
    const response = await oauth.introspectionRequest(
      server, client('orders'), authentication, proved.access_token,
      { ...as('orders'), requestJwtResponse: true },
    )
    return accept({ authorization: `Bearer ${await response.text()}` })
  },
})
