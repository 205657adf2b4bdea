"""What a CA's directory holds, and what it lacks for a policy: read, never changed.

`founding` looks before it makes anything, and `init --check` looks instead of it. What
does not fit together is refused here, before a key is touched.
"""

from base64 import b64decode
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pki import clock, keys, profiles
from pki.crl_series import Series
from pki.database import is_missing
from pki.errors import PkiError
from pki.identity import trust_domain_uri
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.policy import Policy


class FoundingError(PkiError):
    """What lies in the directory does not fit what is asked for."""

    code = "founding_refused"


class LedgerLostError(FoundingError):
    """There are certificates but no ledger that knows them."""

    code = "ledger_lost"


class KeyLostError(FoundingError):
    """There is a certificate but no key for it."""

    code = "key_lost"


class WrongKeyError(FoundingError):
    """A key file holds another key than the one that was certified."""

    code = "wrong_key"


class ForeignRootError(FoundingError):
    """The CA here was founded for another trust domain."""

    code = "foreign_root"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a directory holds, and what it lacks for a policy."""

    missing: tuple[str, ...]
    policy_changed: bool
    root: x509.Certificate | None
    issuing: x509.Certificate | None


def inspect(layout: Layout, policy: Policy) -> State:
    """Return what `found` would make, changing nothing.

    Raises:
        LedgerLostError: there is a certificate but no ledger.
        KeyLostError: there is an issuing certificate but no key.
        WrongKeyError: the issuing key is another than the certificate's.
        ForeignRootError: the root is one of another trust domain.
        ShardsFixedError: certificates point to another number of revocation lists.
    """
    root = issuing = None
    no_ledger = is_missing(layout.ledger)
    if no_ledger:
        _check_nothing_signed(layout)
    else:
        with open_ledger(layout.ledger) as ledger:
            root, issuing = recorded(ledger, "root"), recorded(ledger, "issuing")
            if issuing:
                _check_shards(ledger, issuing, policy)
    if root:
        _check_trust_domain(root, policy)
    has_issuing_key = layout.sealed_key("issuing").exists()
    if issuing:
        _check_issuing_key(layout, issuing)
    stored = layout.policy.read_bytes() if layout.policy.exists() else None
    missing = {
        "ledger": no_ledger,
        # A root key may be kept elsewhere once its certificate exists.
        "root_key": not root and not layout.sealed_key("root").exists(),
        "root_certificate": not is_written(layout, "root", root),
        "issuing_key": not has_issuing_key,
        "issuing_certificate": not is_written(layout, "issuing", issuing)
        or not permits(issuing, policy),
        "policy": stored is None,
    }
    return State(
        missing=tuple(name for name, lacking in missing.items() if lacking),
        policy_changed=stored is not None and stored != policy.text,
        root=root,
        issuing=issuing,
    )


def recorded(ledger: Ledger, identity: str) -> x509.Certificate | None:
    """Return the newest certificate of `identity` in the ledger, None without one."""
    entry = ledger.newest_issued(identity)
    if entry is None or entry.certificate is None:
        return None
    return x509.load_der_x509_certificate(b64decode(entry.certificate))


def _check_nothing_signed(layout: Layout) -> None:
    for purpose in ("root", "issuing"):
        if layout.certificate(purpose).exists():
            raise LedgerLostError(
                f"{layout.certificate(purpose)} exists but {layout.ledger} does not: "
                "restore the ledger from a backup"
            )


def _check_issuing_key(layout: Layout, issuing: x509.Certificate) -> None:
    """Check that the key which was certified, and no other, is still here."""
    path = layout.sealed_key("issuing")
    if not path.exists():
        raise KeyLostError(
            f"{path} is gone, but its certificate is in the ledger: "
            "restore the file from a backup"
        )
    sealed = keys.read_sealed(path)
    if keys.public_key(sealed, purpose="issuing") != issuing.public_key():
        raise WrongKeyError(f"{path} is not the key of the certificate in the ledger")


def _check_shards(ledger: Ledger, issuing: x509.Certificate, policy: Policy) -> None:
    Series(
        published=ledger.published,
        issuer=issuing,
        now=clock.utc_now(),
        addresses=policy.addresses,
    ).known()


def _check_trust_domain(root: x509.Certificate, policy: Policy) -> None:
    names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = trust_domain_uri(policy.trust_domain)
    if uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise ForeignRootError(
            f"the root here was not made for {uri}: "
            "another trust domain needs a directory of its own"
        )


def permits(issuing: x509.Certificate | None, policy: Policy) -> bool:
    """Return whether the issuing CA may certify all that the policy permits."""
    permitted = profiles.permitted_dns_of(issuing) if issuing else ()
    return all(
        any(map(domain.lies_within, permitted)) for domain in policy.permitted_dns
    )


def is_written(
    layout: Layout, purpose: str, certificate: x509.Certificate | None
) -> bool:
    """Return whether the file of `purpose` holds this certificate."""
    path = layout.certificate(purpose)
    return (
        certificate is not None
        and path.exists()
        and path.read_bytes() == pem(certificate)
    )


def pem(certificate: x509.Certificate) -> bytes:
    """Return the content of a certificate's file."""
    return certificate.public_bytes(serialization.Encoding.PEM)
