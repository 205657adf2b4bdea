"""What a CA's directory holds, and what it lacks for a policy: read, never changed.

`founding` looks before it makes anything, and `init --check` looks instead of it. What
does not fit together is refused here, before a key is touched.
"""

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
from pki.pointers import authority_of
from pki.policy import Policy
from pki.present import Present, find_present, newest


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
    standing: Present | None = None


def inspect(layout: Layout, policy: Policy) -> State:
    """Return what `found` would make, changing nothing.

    Raises:
        LedgerLostError: there is a certificate but no ledger.
        KeyLostError: there is an issuing certificate but no key.
        WrongKeyError: the issuing key is another than the certificate's.
        ForeignRootError: the root is one of another trust domain.
        ShardsFixedError: certificates point to another number of revocation lists.
    """
    root = issuing = standing = None
    no_ledger = is_missing(layout.ledger)
    if no_ledger:
        _check_nothing_signed(layout)
    else:
        with open_ledger(layout.ledger) as ledger:
            standing = find_present(ledger)
            root, issuing = recorded(ledger, "root"), recorded(ledger, "issuing")
            if issuing:
                _check_shards(ledger, issuing, policy)
    if root:
        _check_trust_domain(root, policy)
    # The first key may have been taken away since another one followed it.
    first, later = layout.sealed_key("issuing"), layout.later_keys("issuing")
    if issuing:
        _check_issuing_key(layout, issuing)
    stored = layout.policy.read_bytes() if layout.policy.exists() else None
    missing = {
        "ledger": no_ledger,
        # A root key may be kept elsewhere once its certificate exists.
        "root_key": not root and not layout.sealed_key("root").exists(),
        "root_certificate": not is_written(layout, "root", root),
        "issuing_key": not first.exists() and not later,
        "issuing_certificate": not is_written(layout, "issuing", issuing)
        or not permits(issuing, policy),
        "policy": stored is None,
    }
    return State(
        missing=tuple(name for name, lacking in missing.items() if lacking),
        policy_changed=stored is not None and stored != policy.text,
        root=root,
        issuing=issuing,
        standing=standing,
    )


def recorded(ledger: Ledger, identity: str) -> x509.Certificate | None:
    """Return the certificate of `root` or `issuing` in use, None if there is none."""
    standing = find_present(ledger)
    if standing is None:  # half founded
        return newest(ledger, identity)
    return standing.root if identity == "root" else standing.issuing


def _check_nothing_signed(layout: Layout) -> None:
    for purpose in ("root", "issuing"):
        if layout.certificate(purpose).exists():
            raise LedgerLostError(
                f"{layout.certificate(purpose)} exists but {layout.ledger} does not: "
                "restore the ledger from a backup"
            )


def _check_issuing_key(layout: Layout, issuing: x509.Certificate) -> None:
    """Check that the key which was certified, and no other, is still here."""
    path = layout.sealed_key("issuing", authority_of(issuing))
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
