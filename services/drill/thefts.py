"""The table of thefts: who tries what with which token, and what must come of it.

A row means something for the kinds it names. Each has one expected outcome, down to
the reason of a refusal. The first row is no theft: it shows that the tokens are good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from services.drill import forgery, proofs, ways
from services.drill.result import ACCEPTED, KINDS
from services.drill.ways import Way


class By(Enum):
    """Who uses a token: whose certificate the connection presents."""

    OWNER = auto()
    NOBODY = auto()
    IMPOSTOR = auto()
    THIEF = auto()


@dataclass(frozen=True, slots=True)
class Theft:
    """One way to use a token."""

    tried: str
    by: By
    way: Way
    expected: Mapping[str, str]  # by kind
    needs_introspected: bool = False


_NO_CERTIFICATE = "TLS alert: certificate required"
_UNKNOWN_CA = "TLS alert: unknown ca"
_OTHER_CERTIFICATE = "the token is bound to another certificate"
_OTHER_KEY = "the token is bound to another key"
_OTHER_AUDIENCE = "the token is for another audience"
_EXPIRED = "the token has expired"
_REVOKED = "the token was revoked"
_MALFORMED = "the token is malformed"
_BAD_SIGNATURE = "the signature is not valid"
_UNKNOWN_KEY = "the token is signed with an unknown key"
_NO_ACCESS_TOKEN = "the token is no access token"  # noqa: S105 - a reason
_NOT_ACTIVE = "the token is not active"
_TWO_HEADERS = "more than one Authorization header"
_IN_URI = "a token does not belong into the URI"
_NO_TOKEN = "a token is needed"  # noqa: S105 - a reason


def _all(reason: str, **others: str | None) -> dict[str, str]:
    """Return one expectation for every kind but `others`; None is for no meaning."""
    expected = dict.fromkeys(KINDS, reason) | others
    return {kind: said for kind, said in expected.items() if said is not None}


def _bound(reason: str, **others: str | None) -> dict[str, str]:
    """Return what is expected where a bearer token lets everybody in."""
    return _all(reason, **{"bearer": ACCEPTED, **others})


_CONNECTIONS = (
    Theft("by its owner", By.OWNER, ways.as_it_is, _all(ACCEPTED)),
    Theft("with no certificate", By.NOBODY, ways.as_it_is, _bound(_NO_CERTIFICATE)),
    Theft(
        "with another service's valid certificate",
        By.THIEF,
        ways.as_it_is,
        _bound(_OTHER_CERTIFICATE, dpop=_OTHER_KEY),
    ),
    Theft(
        "with the owner's name from a rogue CA",
        By.IMPOSTOR,
        ways.as_it_is,
        _bound(_UNKNOWN_CA),
    ),
    Theft(
        "with the owner's certificate in Client-Cert",
        By.THIEF,
        ways.with_client_cert,
        _bound(_OTHER_CERTIFICATE, dpop=_OTHER_KEY),
    ),
    Theft(
        "with it in X-Forwarded-Client-Cert",
        By.THIEF,
        ways.with_xfcc,
        _bound(_OTHER_CERTIFICATE, dpop=_OTHER_KEY),
    ),
)

_PLACES = (
    Theft(
        "at another service",
        By.OWNER,
        ways.elsewhere,
        _all(_OTHER_AUDIENCE, phantom=_MALFORMED),
    ),
    Theft(
        "past the gateway, at the service behind it",
        By.OWNER,
        ways.past_the_gateway,
        {"phantom": _MALFORMED},
    ),
    Theft("in two headers", By.OWNER, ways.twice, _all(_TWO_HEADERS)),
    Theft("in the URI", By.OWNER, ways.in_the_query, _all(_IN_URI)),
    Theft("in a form", By.OWNER, ways.in_a_form, _all(_NO_TOKEN)),
)

_FORGERIES = (
    Theft(
        "rewritten for the thief, the signature kept",
        By.THIEF,
        ways.forged(forgery.rewritten),
        _all(_BAD_SIGNATURE, phantom=None),
    ),
    Theft(
        "rewritten, without a signature (alg none)",
        By.THIEF,
        ways.forged(forgery.unsigned),
        _all(_MALFORMED, phantom=None),
    ),
    Theft(
        "rewritten, signed with the public key as a secret",
        By.THIEF,
        ways.forged(forgery.signed_with_public_key),
        _all(_BAD_SIGNATURE, phantom=None),
    ),
    Theft(
        "rewritten, with the forger's key in its header (jwk)",
        By.THIEF,
        ways.forged(forgery.with_its_key),
        _all(_BAD_SIGNATURE, phantom=None),
    ),
    Theft(
        "rewritten, with an address for that key (jku)",
        By.THIEF,
        ways.forged(forgery.with_an_address),
        _all(_UNKNOWN_KEY, phantom=None),
    ),
    Theft(
        "with one character changed", By.THIEF, ways.one_off, {"phantom": _NOT_ACTIVE}
    ),
    Theft(
        "as the token service's database has it",
        By.THIEF,
        ways.as_stored,
        _all(_MALFORMED, phantom=_NOT_ACTIVE),
    ),
    Theft(
        "as the signed answer about it (introspection)",
        By.THIEF,
        ways.as_introspected,
        _all(_NO_ACCESS_TOKEN, phantom=_NOT_ACTIVE),
        needs_introspected=True,
    ),
)

_PROOFS = tuple(
    Theft(tried, By.OWNER, way, {"dpop": reason})
    for tried, way, reason in (
        ("with a proof used before", proofs.replayed, "the DPoP proof was used before"),
        ("with two proofs", proofs.twofold, "there is more than one DPoP proof"),
        (
            "with a proof for another URI",
            proofs.for_another_uri,
            "the DPoP proof is for another URI",
        ),
        (
            "with a proof for another method",
            proofs.for_another_method,
            "the DPoP proof is for another method",
        ),
        (
            "with a proof for another token",
            proofs.for_another_token,
            "the DPoP proof is for another access token",
        ),
        (
            "with a proof for no token",
            proofs.for_no_token,
            "the DPoP proof is for another access token",
        ),
        (
            "with a proof of two minutes ago",
            proofs.stale,
            "the DPoP proof is too old",
        ),
        (
            "with a proof made ahead, without a nonce",
            proofs.without_nonce,
            "the DPoP proof needs a nonce of this server",
        ),
        (
            "with a proof that has another server's nonce",
            proofs.with_another_nonce,
            "the DPoP proof needs a newer nonce",
        ),
        (
            "with a proof that shows the owner's key",
            proofs.signed_by_another,
            "the signature of the DPoP proof is not valid",
        ),
        (
            "under the scheme Bearer, without a proof",
            ways.as_bearer,
            "the token is bound to a key, and no DPoP proof was presented",
        ),
    )
)

_AT_THE_TOKEN_SERVICE = (
    Theft(
        "exchanged by the thief for one of his own",
        By.THIEF,
        ways.exchange,
        _all("the subject token is not valid, or was not sent to this client"),
    ),
    Theft(
        "asked for once more in its owner's name",
        By.THIEF,
        ways.in_the_owners_name,
        _all("client authentication failed"),
    ),
    Theft(
        "looked up by the thief (introspection)",
        By.THIEF,
        ways.introspect,
        _all("the token service says: not active"),
    ),
    Theft(
        "revoked by the thief",
        By.THIEF,
        ways.revoke,
        _all("the client may not use this grant or endpoint"),
    ),
)

_TIMES = (
    Theft(
        "after its owner has revoked it",
        By.OWNER,
        ways.after_revocation,
        _bound(_REVOKED, phantom=_NOT_ACTIVE),
    ),
    Theft(
        "after its expiry",
        By.OWNER,
        ways.after_expiry,
        _all(_EXPIRED, phantom=_NOT_ACTIVE),
    ),
)

THEFTS = (
    *_CONNECTIONS,
    *_PLACES,
    *_FORGERIES,
    *_PROOFS,
    *_AT_THE_TOKEN_SERVICE,
    *_TIMES,
)
