"""What the FAPI 2.0 Security Profile forbids a configuration to say (Final, section 5).

One switch, `"profile": "fapi2"`, in the document of a process. Most of the profile is
how this kit works anyway, with or without it: mutual TLS with the suites of BCP 195,
three signing algorithms, tokens in one header, proofs with nonces. What remains are
choices that a configuration may make elsewhere and not here; they are refused when the
document is read, so that none is in force for a single request.

FAPI names no longest life of a token. Ours is ten minutes: what RFC 6819, section
5.1.5.3, calls short, and twice what a roll-out asks for by default.

Called by `config` alone. The authorization endpoint, of which most of the profile
speaks, is not there.
"""

from collections.abc import Mapping, Sequence

from services.registration.client import ClientConfig

LONGEST_TOKEN = 600  # seconds
# Section 5.3.2.1: RFC 8705, section 2, or private_key_jwt. The SPIFFE draft is neither.
METHODS = frozenset(
    {"tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt"}
)


def check_clients(clients: Mapping[str, ClientConfig]) -> None:
    """Return if every client may be registered under the profile.

    Raises:
        ValueError: the message names the client and what is forbidden.
    """
    for client_id, client in clients.items():
        method, _ = client.method
        if method not in METHODS:
            raise ValueError(f"clients.{client_id}: fapi2 forbids {method}")
        if client.binding == "none":
            raise ValueError(f"clients.{client_id}: fapi2 forbids bearer tokens")
        if client.lifetime > LONGEST_TOKEN:
            raise ValueError(
                f"clients.{client_id}: fapi2 allows a token {LONGEST_TOKEN} s at most"
            )


def check_resource(bearer_clients: Sequence[str], revocations: str | None) -> None:
    """Return if a resource service may run under the profile (section 5.3.4).

    Raises:
        ValueError: the message says what is forbidden, or missing.
    """
    if bearer_clients:
        raise ValueError("guard.bearer_clients: fapi2 forbids bearer tokens")
    if revocations is None:
        raise ValueError("token_service.revocations_uri: fapi2 needs it")
