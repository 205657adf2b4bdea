"""One mistake at a time in the sample topology, and what is said of it.

Each: what is replaced, by what, and the key and expectation that are then named.
"""

MISTAKES = {
    "another version": ("version: 1", "version: 2", "version: got 2, expected 1"),
    "a misspelt key": (
        "port: 8443",
        "prot: 8443",
        "services.stock.prot: unknown key, expected one of app, audience",
    ),
    "a missing key": (
        "    port: 8443\n",
        "",
        "services.stock.port: missing, expected a TCP port, a whole number",
    ),
    "a port that is text": (
        "port: 8443",
        "port: http",
        'services.stock.port: got "http", expected a TCP port',
    ),
    "a port that is no port": (
        "port: 8443",
        "port: 70000",
        "services.stock.port: got 70000, expected a TCP port",
    ),
    "a service that is no label": (
        "\n  stock:",
        "\n  Stock_1:",
        "services.Stock_1: unusable name, expected one DNS label",
    ),
    "a host that is no name": (
        "\n  localhost: {",
        "\n  Local_Host: {",
        "hosts.Local_Host: unusable name, expected an inventory name",
    ),
    "a trust domain that is no name": (
        "trust_domain: shop.internal",
        "trust_domain: Shop.internal",
        'trust_domain: got "Shop.internal", expected the SPIFFE trust domain',
    ),
    "no duration": (
        "certificate: 24h",
        "certificate: one day",
        'lifetimes.certificate: got "one day", expected a duration',
    ),
    "a scope with a space": (
        "scopes: [stock.read]",
        "scopes: ['stock read']",
        "services.stock.scopes[0]: got",
    ),
    "no scopes": (
        "scopes: [stock.read]",
        "scopes: []",
        "services.stock.scopes: got [], expected the scopes this service offers",
    ),
    "a scope twice": (
        "scopes: [stock.read]",
        "scopes: [stock.read, stock.read]",
        "services.stock.scopes: got",
    ),
    "a path without slash": (
        "resource: /stock",
        "resource: stock",
        "services.stock.resource: got",
    ),
    "an app without factory": (
        "services.samples.stock:create_app",
        "services.samples.stock",
        "services.stock.app: got",
    ),
    "an unknown binding": (
        "binding: none\n    calls",
        "binding: some\n    calls",
        "clients.drill-bearer.binding: got",
    ),
    "an address that is none": (
        "127.0.0.1",
        "localhost",
        "hosts.localhost.address: got 'localhost', expected an IP address",
    ),
    "an unknown CA host": (
        "host: localhost\n",
        "host: elsewhere\n",
        "ca.host: 'elsewhere' is no host of this topology, expected one of localhost",
    ),
    "an unknown host": (
        "hosts: [localhost]\n    port: 8443",
        "hosts: [elsewhere]\n    port: 8443",
        "services.stock.hosts[0]: 'elsewhere' is no host of this topology",
    ),
    "an unknown token service host": (
        "hosts: [localhost]\n  port: 8440",
        "hosts: [elsewhere]\n  port: 8440",
        "token_service.hosts[0]: 'elsewhere' is no host",
    ),
    "a host with a service's name": (
        "dns: localhost",
        "dns: stock.shop.internal",
        "hosts.localhost.dns: 'stock.shop.internal' is the name of service stock",
    ),
    "a service named as the token service": (
        "\n  stock:",
        "\n  token-service:",
        "services.token-service: is the token service's own name",
    ),
    "an issuer elsewhere": (
        "issuer: https://localhost:8440",
        "issuer: https://example.test:8440",
        "token_service.issuer: got 'https://example.test:8440', expected a name of",
    ),
    "an issuer at another port": (
        "issuer: https://localhost:8440",
        "issuer: https://localhost:8441",
        "token_service.issuer: got 'https://localhost:8441'",
    ),
    "a port twice on a host": (
        "port: 8443",
        "port: 8442",
        "services.stock.port: 8442 is the port of orders on host localhost already",
    ),
    "the token service's port": (
        "port: 8443",
        "port: 8440",
        "services.stock.port: 8440 is the port of token_service on host localhost",
    ),
    "an audience twice": (
        "resource: /stock",
        "resource: /stock\n    audience: https://orders.shop.internal",
        "services.stock.audience: 'https://orders.shop.internal' is the audience of",
    ),
    "a call to an unknown service": (
        "stock: [stock.read]",
        "stork: [stock.read]",
        (
            "services.orders.calls.stork: 'stork' is no other service or gateway "
            "of this topology, expected one of edge, stock, storefront"
        ),
    ),
    "a call to oneself": (
        "stock: [stock.read]",
        "orders: [orders.read]",
        "services.orders.calls.orders: 'orders' is no other service",
    ),
    "a scope that is not offered": (
        "stock: [stock.read]",
        "stock: [stock.write]",
        (
            "services.orders.calls.stock[0]: 'stock.write' is no scope "
            "that stock offers, expected one of stock.read"
        ),
    ),
    "a client with a service's name": (
        "\n  drill-brief:",
        "\n  orders:",
        "clients.orders: is a service's name",
    ),
    "a client of nobody": (
        "service: storefront\n    binding: none\n    calls",
        "service: nobody\n    binding: none\n    calls",
        "clients.drill-bearer.service: 'nobody' is no service",
    ),
    "a client's scope that is not offered": (
        "storefront\n    lifetime: 2s\n    calls:\n      orders: [orders.read]",
        "storefront\n    lifetime: 2s\n    calls:\n      orders: [orders.write]",
        "clients.drill-brief.calls.orders[0]: 'orders.write' is no scope",
    ),
    "a client's token that lives too long": (
        "service: storefront\n    lifetime: 2s",
        "service: storefront\n    lifetime: 2h",
        "clients.drill-brief.lifetime: expected at most 1h",
    ),
    "an issuing CA that outlives the root": (
        "root: 3650d",
        "root: 90d",
        "lifetimes.issuing_ca: 180d is longer than the root lives, expected",
    ),
    "a certificate that outlives its issuer": (
        "certificate: 24h",
        "certificate: 181d",
        "lifetimes.certificate: 181d is longer than the issuing CA lives",
    ),
    "a certificate of a moment": (
        "certificate: 24h",
        "certificate: 9m",
        "lifetimes.certificate: got 9m, expected 10m or more",
    ),
    "a trust domain too long for a certificate": (
        "trust_domain: shop.internal",
        "trust_domain: a-very-long-trust-domain-with-a-very-long-name.shop",
        "trust_domain: got",
    ),
    "a token that lives too long": (
        "token: 5m",
        "token: 2h",
        "lifetimes.token: 2h is longer than the certificate, or 1h, lives",
    ),
    "a renewal before the beginning": (
        "renew_before: 8h",
        "renew_before: 1435m",
        (
            "lifetimes.renew_before: 1435m and 5m of back-dating leave nothing of a "
            "certificate's 24h"
        ),
    ),
    "a victim that is no service": (
        "victim: storefront",
        "victim: nobody",
        "drill.victim: 'nobody' is no service",
    ),
    "a target that the victim does not call": (
        "target: orders",
        "target: stock",
        "drill.target: expected a service that storefront calls",
    ),
    "a thief who is the target": (
        "thief: stock",
        "thief: orders",
        "drill.thief: expected a service besides victim and target",
    ),
    "a drill with an unknown client": (
        "brief_client: drill-brief\n",
        "brief_client: nobody\n",
        "drill.brief_client: 'nobody' is no client",
    ),
    "a drill whose bearer token is bound": (
        "bearer_client: drill-bearer\n",
        "bearer_client: drill-brief\n",
        "drill.bearer_client: expected a client of storefront with binding none",
    ),
    "a drill whose DPoP client has no key": (
        "dpop: { client: drill-dpop,",
        "dpop: { client: drill-brief,",
        "drill.dpop.client: expected a client of storefront with binding dpop",
    ),
    "a drill at an unknown gateway": (
        "phantom: { gateway: edge,",
        "phantom: { gateway: orders,",
        "drill.phantom.gateway: 'orders' is no gateway",
    ),
    "a drill whose phantom client reads its tokens": (
        "client: drill-phantom, brief",
        "client: drill-brief, brief",
        (
            "drill.phantom.client: expected a client of storefront with binding "
            "certificate and format opaque that calls edge"
        ),
    ),
    "a drill that goes on to nobody": (
        "exchanged: { service: stock,",
        "exchanged: { service: orders,",
        "drill.exchanged.service: expected a service besides storefront that orders",
    ),
    "a drill whose exchange is another's": (
        "brief_client: drill-onward-brief",
        "brief_client: drill-brief",
        "drill.exchanged.brief_client: expected a client of orders with binding",
    ),
    "a drill whose client may not exchange": (
        "    exchanges: true\n",
        "",
        "drill.exchanged.brief_client: expected a client that exchanges",
    ),
    "a bearer client that is bound": (
        "    resource: /orders\n",
        "    resource: /orders\n    bearer_clients: [drill-brief]\n",
        "services.orders.bearer_clients[0]: 'drill-brief' is no client with",
    ),
    "a bearer client that calls somebody else": (
        "    resource: /stock\n",
        "    resource: /stock\n    bearer_clients: [drill-bearer]\n",
        "services.stock.bearer_clients[0]: 'drill-bearer' is no client with",
    ),
    "a delegation of a foreign scope": (
        "    resource: /orders\n",
        "    resource: /orders\n    delegates: {stock.read: {}}\n",
        "services.orders.delegates.stock.read: expected one of its own scopes",
    ),
    "a delegation beyond the calls": (
        "    resource: /orders\n",
        "    resource: /orders\n    delegates: {orders.read: {stock: [stock.all]}}\n",
        "services.orders.delegates.orders.read.stock: expected some of what",
    ),
    "a gateway that is no label": (
        "\n  edge:\n",
        "\n  Edge:\n",
        "gateways.Edge: unusable name, expected one DNS label",
    ),
    "a gateway with a service's name": (
        "\n  edge:\n",
        "\n  stock:\n",
        "gateways.stock: is a service's name, expected another",
    ),
    "a gateway named as the token service": (
        "\n  edge:\n",
        "\n  token-service:\n",
        "gateways.token-service: is the token service's own name",
    ),
    "a client with a gateway's name": (
        "\n  drill-brief:",
        "\n  edge:",
        "clients.edge: is a gateway's name, which is a client by itself",
    ),
    "a gateway on an unknown host": (
        "hosts: [localhost]\n    port: 8444",
        "hosts: [elsewhere]\n    port: 8444",
        "gateways.edge.hosts[0]: 'elsewhere' is no host of this topology",
    ),
    "a gateway at a service's port": (
        "port: 8444",
        "port: 8442",
        "gateways.edge.port: 8442 is the port of orders on host localhost already",
    ),
    "a host with a gateway's name": (
        "dns: localhost",
        "dns: edge.shop.internal",
        "hosts.localhost.dns: 'edge.shop.internal' is the name of gateway edge",
    ),
    "a gateway with a service's audience": (
        "port: 8444",
        "port: 8444\n    audience: https://orders.shop.internal",
        "gateways.edge.audience: 'https://orders.shop.internal' is the audience of",
    ),
    "a gateway without routes": (
        "routes:\n      /orders: { service: orders, scopes: [orders.read] }",
        "routes: {}",
        "gateways.edge.routes: got a mapping of 0, expected where paths lead",
    ),
    "a route without slash": (
        "/orders: { service",
        "orders: { service",
        "gateways.edge.routes.orders: unusable name, expected the beginning of a path",
    ),
    "a route with a dot segment": (
        "/orders: { service",
        "/orders/..: { service",
        "gateways.edge.routes./orders/..: unusable name, expected",
    ),
    "a route to an unknown service": (
        "{ service: orders, scopes",
        "{ service: stork, scopes",
        "gateways.edge.routes./orders.service: 'stork' is no service of this topology",
    ),
    "a route to a gateway": (
        "{ service: orders, scopes",
        "{ service: edge, scopes",
        "gateways.edge.routes./orders.service: 'edge' is no service of this topology",
    ),
    "a route with a scope that is not offered": (
        "{ service: orders, scopes: [orders.read] }",
        "{ service: orders, scopes: [orders.all] }",
        "gateways.edge.routes./orders.scopes[0]: 'orders.all' is no scope that orders",
    ),
    "a route with an optional scope that is not offered": (
        "{ service: orders, scopes: [orders.read] }",
        "{ service: orders, scopes: [orders.read], optional_scopes: [orders.all] }",
        "gateways.edge.routes./orders.optional_scopes[0]: 'orders.all' is no scope",
    ),
    "a call of a gateway with a scope of nobody behind it": (
        "edge: [orders.read]",
        "edge: [stock.read]",
        "clients.drill-phantom.calls.edge[0]: 'stock.read' is no scope that edge",
    ),
    "a bearer token for a gateway": (
        "format: opaque\n    calls",
        "binding: none\n    calls",
        "clients.drill-phantom.binding: edge is a gateway and takes no bearer tokens",
    ),
    "an opaque token for a service": (
        "edge: [orders.read]",
        "orders: [orders.read]",
        "clients.drill-phantom.format: orders is a service, which reads no opaque",
    ),
    "an unknown profile": (
        "version: 1\n",
        "version: 1\nprofile: fapi1\n",
        'profile: got "fapi1", expected oauth2 (the default) or fapi2',
    ),
    "a bearer token under FAPI 2.0": (
        "version: 1\n",
        "version: 1\nprofile: fapi2\n",
        "clients.drill-bearer.binding: fapi2 forbids bearer tokens",
    ),
    "a monitor that nobody knows": (
        "version: 1\n",
        "version: 1\nmonitors: [prometheus]\n",
        "monitors[0]: 'prometheus' is no service or gateway of this topology",
    ),
    "a monitor of another trust domain": (
        "version: 1\n",
        "version: 1\nmonitors: ['spiffe://else.where/prometheus']\n",
        "monitors[0]: 'spiffe://else.where/prometheus' is not of shop.internal",
    ),
    "a monitor that is no name": (
        "version: 1\n",
        "version: 1\nmonitors: ['https://shop.internal/']\n",
        'monitors[0]: got "https://shop.internal/", expected the name of a service',
    ),
    "a client that is nobody": (
        "clients:\n",
        "clients:\n  partner: {calls: {orders: [orders.read]}}\n",
        "clients.partner: expected exactly one of service and authentication",
    ),
    "a client that is two": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {spiffe_x509: {}}\n    servi"
            "ce: stock\n    calls: {orders: [orders.read]}\n"
        ),
        "clients.partner: expected exactly one of service and authentication",
    ),
    "a client with two methods": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {spiffe_x509: {}, tls_client"
            "_auth: {san_dns: a.test}}\n    calls: {orders: [orders.read]}\n"
        ),
        "clients.partner.authentication: got a mapping of 2, expected how a client",
    ),
    "a client with an unknown method": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {client_secret: hunter2}\n  "
            "  calls: {orders: [orders.read]}\n"
        ),
        "clients.partner.authentication.client_secret: unknown key, expected one of",
    ),
    "a client with two attributes": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {tls_client_auth: {san_dns: "
            "a.test, san_ip: 10.0.0.1}}\n    calls: {orders: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.tls_client_auth: expected exactly one o"
            "f subject_dn"
        ),
    ),
    "a client with no attribute": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {tls_client_auth: {trust_dom"
            "ain: shop.internal}}\n    calls: {orders: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.tls_client_auth: expected exactly one o"
            "f subject_dn"
        ),
    ),
    "a client with no address": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {tls_client_auth: {san_ip: a"
            ".test}}\n    calls: {orders: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.tls_client_auth.san_ip: got 'a.test', e"
            "xpected an IP"
        ),
    ),
    "a client of an unknown trust domain": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {tls_client_auth: {san_dns: "
            "a.test, trust_domain: a.test}}\n    calls: {orders: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.tls_client_auth: is of a.test, expected"
            " its roots"
        ),
    ),
    "a client without keys": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {private_key_jwt: {}}\n    c"
            "alls: {orders: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.private_key_jwt: expected exactly one o"
            "f jwks and"
        ),
    ),
    "a client with keys in two places": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {private_key_jwt: {jwks_uri:"
            " 'https://a.test/jwks', jwks: {keys: [{kty: EC}]}}}\n    calls: {order"
            "s: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.private_key_jwt: expected exactly one o"
            "f jwks and"
        ),
    ),
    "a network for keys that are here": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {private_key_jwt: {jwks: {ke"
            "ys: [{kty: EC}]}, networks: [10.0.0.0/8]}}\n    calls: {orders: [order"
            "s.read]}\n"
        ),
        (
            "clients.partner.authentication.private_key_jwt.networks: expected only"
            " beside"
        ),
    ),
    "a private key": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {private_key_jwt: {jwks: {ke"
            "ys: [{kty: EC, d: hunter2}]}}}\n    calls: {orders: [orders.read]}\n"
        ),
        (
            "clients.partner.authentication.private_key_jwt.jwks.keys[0]: is a priv"
            "ate key"
        ),
    ),
    "a SPIFFE client that is called otherwise": (
        "clients:\n",
        (
            "clients:\n  partner:\n    authentication: {spiffe_x509: {}}\n    calls"
            ": {orders: [orders.read]}\n"
        ),
        ("clients.partner: a client has a SPIFFE ID for a name exactly if spiffe_x509"),
    ),
    "a SPIFFE ID that is known otherwise": (
        "clients:\n",
        (
            "clients:\n  'spiffe://shop.internal/partner':\n    authentication: {tl"
            "s_client_auth: {san_dns: a.test}}\n    calls: {orders: [orders.read]}"
            "\n"
        ),
        ("clients.spiffe://shop.internal/partner: a client has a SPIFFE ID for a name"),
    ),
    "a SPIFFE client of an unknown trust domain": (
        "clients:\n",
        (
            "clients:\n  'spiffe://a.test/partner':\n    authentication: {spiffe_x5"
            "09: {}}\n    calls: {orders: [orders.read]}\n"
        ),
        (
            "clients.spiffe://a.test/partner.authentication.spiffe_x509: is of a.te"
            "st, expected"
        ),
    ),
    "roots of our own": (
        "  port: 8440\n",
        "  port: 8440\n  trust_bundles: {shop.internal: /etc/roots.pem}\n",
        "token_service.trust_bundles.shop.internal: is our own, whose roots",
    ),
    "roots without a path": (
        "  port: 8440\n",
        "  port: 8440\n  trust_bundles: {a.test: roots.pem}\n",
        (
            'token_service.trust_bundles.a.test: got "roots.pem", expected an abs'
            "olute path"
        ),
    ),
    "a store that is none": (
        "  port: 8440\n",
        "  port: 8440\n  store: postgresql://localhost/state\n",
        (
            'token_service.store: got "postgresql://localhost/state", expected wh'
            "ere tokens"
        ),
    ),
    "a password in a topology": (
        "  port: 8440\n",
        "  port: 8440\n  store: rediss://name:hunter2@redis.shop.internal\n",
        (
            "token_service.store: holds a password, expected store_password, a file"
            " with it"
        ),
    ),
    "a password for SQLite": (
        "  port: 8440\n",
        (
            "  port: 8440\n  store: sqlite:///var/state\n  store_password: /etc/pas"
            "sword\n"
        ),
        "token_service.store_password: expected only beside a store in Redis",
    ),
    "a password of the ledger": (
        "ca:\n",
        "ca:\n  ledger: postgresql://ca:hunter2@db.shop.internal/ledger\n",
        "ca.ledger: holds a password, expected ledger_password, a file",
    ),
    "a ledger in no database": (
        "ca:\n",
        "ca:\n  ledger: postgresql://db.shop.internal/\n",
        "ca.ledger: names no database",
    ),
    "a password for no ledger": (
        "ca:\n",
        "ca:\n  ledger_password: /etc/password\n",
        "ca.ledger_password: expected only beside ca.ledger",
    ),
    "a token without a module": (
        "ca:\n",
        "ca:\n  keys: {issuing: issuing}\n",
        "ca.keys.module: missing, expected an absolute path",
    ),
    "a token of no label": (
        "ca:\n",
        "ca:\n  keys: {module: /usr/lib/hsm.so, issuing: 'a label '}\n",
        'ca.keys.issuing: got "a label ", expected the label of the token',
    ),
    "a store in the clear": (
        "    resource: /stock\n",
        "    resource: /stock\n    store: redis://redis.shop.internal\n",
        ("services.stock.store: goes to another host in the clear, expected rediss://"),
    ),
    "a signing key of a moment": (
        "  port: 8440\n",
        "  port: 8440\n  key_rotation: 90m\n  key_lead: 30m\n",
        "token_service.key_rotation: expected 2h or more",
    ),
    "a signing key published too late": (
        "  port: 8440\n",
        "  port: 8440\n  key_lead: 14m\n",
        "token_service.key_lead: expected 15m or more",
    ),
    "a signing key that waits longer than it signs": (
        "  port: 8440\n",
        "  port: 8440\n  key_rotation: 2h\n  key_lead: 2h\n",
        (
            "token_service.key_lead: a key that is published 2h before it signs leaves "
            "nothing of the 2h that the one before it does, expected less than"
        ),
    ),
    "a rate of nothing": (
        "  port: 8440\n",
        "  port: 8440\n  rates: {token: {per_second: 0, burst: 1}}\n",
        "token_service.rates.token.per_second: got 0, expected a number above 0",
    ),
    "a store of another kind, with a password": (
        "  port: 8440\n",
        "  port: 8440\n  store: postgresql://name:hunter2@localhost/state\n",
        'token_service.store: got "postgresql://...@localhost/state", expected',
    ),
    "a proxy before nothing": (
        "gateways:\n",
        (
            "proxies:\n"
            "  front: {kind: nginx, hosts: [localhost], port: 8446, "
            "service: token-service}\ngateways:\n"
        ),
        "proxies.front.service: 'token-service' is no service or gateway",
    ),
    "a proxy of an unknown kind": (
        "gateways:\n",
        (
            "proxies:\n"
            "  front: {kind: apache, hosts: [localhost], port: 8446, "
            "service: orders}\ngateways:\n"
        ),
        'proxies.front.kind: got "apache", expected nginx, haproxy or envoy',
    ),
    "a proxy at a gateway's port": (
        "gateways:\n",
        (
            "proxies:\n"
            "  front: {kind: nginx, hosts: [localhost], port: 8444, "
            "service: orders}\ngateways:\n"
        ),
        "proxies.front.port: 8444 is the port of edge on host localhost already",
    ),
    "a proxy on an unknown host": (
        "gateways:\n",
        (
            "proxies:\n"
            "  front: {kind: nginx, hosts: [elsewhere], port: 8446, "
            "service: orders}\ngateways:\n"
        ),
        "proxies.front.hosts[0]: 'elsewhere' is no host of this topology",
    ),
    "a proxy with a service's name": (
        "gateways:\n",
        (
            "proxies:\n"
            "  stock: {kind: nginx, hosts: [localhost], port: 8446, "
            "service: orders}\ngateways:\n"
        ),
        "proxies.stock: is a service's name, expected another",
    ),
}
