"""What the CA may issue, to whom, for how long: the policy document, read strictly.

The topology is turned into this document by Ansible; `founding` stores it and
`authority` takes every name in a certificate from it, none from a request. A wrong
document is refused as a whole, and the message names the key and what was expected.

A policy says what may be asked for. That the one who asks is the host it speaks for
is proved by the channel the request came in (SSH for a first certificate).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import msgspec

from pki.clock import in_words
from pki.errors import PkiError
from pki.identity import DnsName, IdentityError, Names, SpiffeId, trust_domain_uri
from pki.pointers import Addresses, PointerError

_INSTANCE = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+")
_LONGEST_TRUST_DOMAIN = 48  # X.520 ends a common name at 64 characters, ours add 16

# From twice the back-dating of `profiles` to a hundred years, so that no sum overflows.
_Seconds = Annotated[int, msgspec.Meta(ge=600, le=3_155_760_000)]


_T = TypeVar("_T")


class PolicyError(PkiError):
    """The policy document is wrong; the message names the key."""

    code = "invalid_policy"


class _Lifetimes(msgspec.Struct, forbid_unknown_fields=True):
    root: _Seconds
    issuing_ca: _Seconds


class _Identity(msgspec.Struct, forbid_unknown_fields=True):
    spiffe_id: str
    dns_names: list[str]
    lifetime: _Seconds


class _Revocation(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    shards: int


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    trust_domain: str
    permitted_dns: Annotated[list[str], msgspec.Meta(min_length=1)]
    lifetimes: _Lifetimes
    identities: dict[str, Any]
    revocation: _Revocation | None = None


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What one identity may have: these names, for this long."""

    names: Names
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole document, checked. `text` is its one spelling on the disk."""

    trust_domain: str
    permitted_dns: tuple[DnsName, ...]
    root_lifetime: timedelta
    issuing_lifetime: timedelta
    identities: Mapping[str, Entitlement]
    text: bytes
    addresses: Addresses | None = None  # none: certificates do not say where


@lru_cache(maxsize=1)  # one CA asks for the same one again and again
def read_policy(document: bytes) -> Policy:
    """Return the policy that the JSON text `document` states.

    Raises:
        PolicyError: not JSON, a key missing, unknown, twice there or of a wrong
            type, a malformed name, a name outside the trust domain or the permitted
            DNS domains, or a certificate that would outlive its issuer.
    """
    try:
        raw = json.loads(document, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"the policy is not JSON: {error}") from error
    stated = _convert(raw, _Document, at="")
    permitted = _permitted(stated)
    root = timedelta(seconds=stated.lifetimes.root)
    issuing = timedelta(seconds=stated.lifetimes.issuing_ca)
    if issuing > root:
        raise PolicyError(
            f"lifetimes.issuing_ca: {in_words(issuing)} is longer than the "
            f"{in_words(root)} of lifetimes.root"
        )
    return Policy(
        trust_domain=stated.trust_domain,
        permitted_dns=permitted,
        root_lifetime=root,
        issuing_lifetime=issuing,
        identities=MappingProxyType(
            {
                name: _entitlement(name, value, stated, permitted)
                for name, value in stated.identities.items()
            }
        ),
        text=json.dumps(raw, sort_keys=True, indent=2).encode() + b"\n",
        addresses=_addresses(stated.revocation),
    )


def _permitted(stated: _Document) -> tuple[DnsName, ...]:
    if len(stated.trust_domain) > _LONGEST_TRUST_DOMAIN:
        raise PolicyError(
            f"trust_domain: longer than {_LONGEST_TRUST_DOMAIN} characters"
        )
    try:
        trust_domain_uri(stated.trust_domain)
    except IdentityError as error:
        raise PolicyError(f"trust_domain: {error}") from error
    try:
        names = tuple(map(DnsName, stated.permitted_dns))
    except IdentityError as error:
        raise PolicyError(f"permitted_dns: {error}") from error
    if len(set(names)) != len(names):
        raise PolicyError("permitted_dns: a name stands there twice")
    return names


def _addresses(stated: _Revocation | None) -> Addresses | None:
    if stated is None:
        return None
    try:
        return Addresses(stated.url, stated.shards)
    except PointerError as error:
        raise PolicyError(f"revocation: {error}") from error


def _entitlement(
    name: str, value: object, stated: _Document, permitted: tuple[DnsName, ...]
) -> Entitlement:
    at = f"identities[{name!r}]"
    if not _INSTANCE.fullmatch(name):
        raise PolicyError(f"{at}: expected a name of the form service@host")
    wanted = _convert(value, _Identity, at=at)
    try:
        names = Names(
            SpiffeId.parse(wanted.spiffe_id), tuple(map(DnsName, wanted.dns_names))
        )
    except IdentityError as error:
        raise PolicyError(f"{at}: {error}") from error
    if names.spiffe_id.trust_domain != stated.trust_domain:
        raise PolicyError(
            f"{at}.spiffe_id: {names.spiffe_id} is not in the trust domain "
            f"{stated.trust_domain}"
        )
    for dns_name in names.dns_names:
        if not any(map(dns_name.lies_within, permitted)):
            raise PolicyError(
                f"{at}.dns_names: {dns_name} lies in none of permitted_dns "
                f"({', '.join(stated.permitted_dns)})"
            )
    life = timedelta(seconds=wanted.lifetime)
    _check_life(life, timedelta(seconds=stated.lifetimes.issuing_ca), f"{at}.lifetime")
    return Entitlement(names, life)


def _check_life(life: timedelta, issuing: timedelta, at: str) -> None:
    """Check that an issuing CA can sign for as long as one certificate lives.

    It lasts until the last one that it signed has ended: that is a second such life.
    """
    if 2 * life > issuing:
        raise PolicyError(
            f"{at}: an issuing CA signs for {in_words(life)} and lasts for "
            f"{in_words(life)} more, until the last that it signed has ended; it has "
            f"{in_words(issuing)}, not {in_words(2 * life)}"
        )


def _convert(raw: object, kind: type[_T], *, at: str) -> _T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        # "Expected ... - at `$.lifetimes.root`" puts the place last; ours is first.
        message, _, place = str(error).partition(" - at `$")
        key = f"{at}{place.rstrip('`')}".lstrip(".") or "policy"
        raise PolicyError(f"{key}: {message}") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PolicyError(f"{twice}: the key stands there twice")
    return found
