"""The rules for a revocation list before its signature: each fault alone is found."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID

from pki import lint_crl, revocation
from pki.entry import Reason, Revocation
from pki.lint_pointers import LintError
from pki.pointers import authority_of, distribution_point
from tests.pki.builders import NOW, Forge

NAME = "http://ca.shop.internal:8445/crl/aa/3.crl"
ONE = Revocation(1, 0xABC, NOW, Reason.KEY_COMPROMISE, NOW + timedelta(days=1))
DAY = timedelta(days=1)

Extensions = dict[str, tuple[x509.ExtensionType, bool]]


def point(**changes: object) -> tuple[x509.ExtensionType, bool]:
    """Return the name of a shard, with some members changed."""
    members: dict[str, object] = {
        "full_name": [x509.UniformResourceIdentifier(NAME)],
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**members | changes), True  # type: ignore[arg-type]  # by name


def entry(
    serial: int = 5, *, at: datetime = NOW, reason: x509.ReasonFlags | None = None
) -> x509.RevokedCertificate:
    """Return an entry of a list."""
    builder = x509.RevokedCertificateBuilder(serial, at.replace(tzinfo=None))
    if reason:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


class Listed:
    """A good list of one kind, in which a test changes one thing."""

    def __init__(self, forge: Forge, kind: str) -> None:
        own = bytes.fromhex(authority_of(forge.issuing))
        self.forge, self.kind, self.by = forge, kind, "issuing"
        self.issuer = forge.issuing
        self.name = forge.issuing.subject
        self.ends = NOW + DAY
        self.entries = [entry(reason=x509.ReasonFlags.key_compromise)]
        self.extensions: Extensions = {
            "key": (x509.AuthorityKeyIdentifier(own, None, None), False),
            "number": (x509.CRLNumber(7), False),
        }
        if kind == "shard":
            self.extensions["point"] = point()
        if kind == "delta":
            self.extensions["base"] = (x509.DeltaCRLIndicator(3), True)

    def check(self) -> None:
        """Build it and ask the lint."""
        builder = x509.CertificateRevocationListBuilder(
            revoked_certificates=self.entries
        )
        builder = builder.issuer_name(self.name).last_update(NOW)
        builder = builder.next_update(self.ends)
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical=critical)
        crl = builder.sign(self.forge.issuing_key, hashes.SHA256())
        lint_crl.check_crl(crl, kind=self.kind, by=self.by, issuer=self.issuer)


@pytest.mark.parametrize("kind", ["full", "shard", "delta"])
def test_good_list_passes(forge: Forge, kind: str) -> None:
    """As the faults are put into it."""
    Listed(forge, kind).check()


def test_what_is_built_passes(forge: Forge) -> None:
    """Every kind that `revocation` builds, the root's included."""
    edition = revocation.Edition(issuer=forge.issuing, number=7, this_update=NOW)
    lint = {"by": "issuing", "issuer": forge.issuing}
    for kind, builder in {
        "full": revocation.full(edition, [ONE], delta_at=[NAME]),
        "shard": revocation.shard(edition, [ONE], names=[NAME, NAME + "2"]),
        "delta": revocation.delta(edition, [ONE], base=3),
    }.items():
        lint_crl.verify_draft(builder, kind=kind, **lint)  # type: ignore[arg-type]  # by name
    edition = revocation.Edition(
        issuer=forge.root,
        number=7,
        this_update=NOW,
        lifetime=revocation.ROOT_LIFETIME,
    )
    lint_crl.verify_draft(
        revocation.full(edition, []), kind="full", by="root", issuer=forge.root
    )


def without(name: str) -> Callable[[Listed], None]:
    """Return the fault of an extension that is not there."""
    return lambda listed: listed.extensions.__delitem__(name)


def having(
    name: str, value: x509.ExtensionType, *, critical: bool = False
) -> Callable[[Listed], None]:
    """Return the fault of an extension of this content."""
    return lambda listed: listed.extensions.__setitem__(name, (value, critical))


def set_to(**members: object) -> Callable[[Listed], None]:
    """Return the fault of other members."""
    return lambda listed: vars(listed).update(members)


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
ODD = x509.RevokedCertificateBuilder(5, NOW.replace(tzinfo=None))
FAULTS: list[tuple[str, str, Callable[[Listed], None]]] = [
    ("issuer", "full", lambda listed: set_to(name=listed.forge.root.subject)(listed)),
    ("life", "full", set_to(ends=NOW + DAY + timedelta(seconds=1))),
    ("life", "full", set_to(ends=NOW)),
    ("extensions", "full", without("number")),
    ("extensions", "full", without("key")),
    ("extensions", "full", having("more", UNKNOWN)),
    (
        "extensions",
        "full",
        having("number", x509.UnrecognizedExtension(ExtensionOID.CRL_NUMBER, b"\x05")),
    ),
    ("extensions", "full", having("point", point()[0], critical=True)),
    ("extensions", "full", having("number", x509.CRLNumber(7), critical=True)),
    ("extensions", "shard", without("point")),
    ("extensions", "shard", having("point", point()[0], critical=False)),
    ("extensions", "delta", without("base")),
    ("extensions", "delta", having("base", x509.DeltaCRLIndicator(3))),
    (
        "extensions",
        "full",
        having("more", x509.FreshestCRL([distribution_point(NAME)]), critical=True),
    ),
    (
        "extensions",
        "shard",
        having("more", x509.FreshestCRL([distribution_point(NAME)])),
    ),
    (
        "key_identifier",
        "full",
        having("key", x509.AuthorityKeyIdentifier(b"x" * 20, None, None)),
    ),
    ("number", "full", having("number", x509.CRLNumber(0))),
    ("number", "full", having("number", x509.CRLNumber(1 << 159))),
    ("number", "delta", having("base", x509.DeltaCRLIndicator(7), critical=True)),
    *(
        (
            "distribution_point",
            "shard",
            having("point", point(**change)[0], critical=True),
        )
        for change in (
            {"indirect_crl": True},
            {"only_contains_user_certs": True},
            {"only_contains_ca_certs": True},
            {"only_contains_attribute_certs": True},
            {"only_some_reasons": frozenset({x509.ReasonFlags.key_compromise})},
            {"full_name": [x509.UniformResourceIdentifier("https://ca/1.crl")]},
            {"full_name": [x509.DNSName("ca.shop.internal")]},
        )
    ),
    ("entries", "full", set_to(entries=[entry(), entry()])),
    ("entries", "full", set_to(entries=[entry(at=NOW + timedelta(seconds=1))])),
    *(
        ("entries", "full", set_to(entries=[entry(reason=reason)]))
        for reason in (
            x509.ReasonFlags.certificate_hold,
            x509.ReasonFlags.remove_from_crl,
            x509.ReasonFlags.unspecified,
        )
    ),
    (
        "entries",
        "full",
        set_to(entries=[ODD.add_extension(UNKNOWN, critical=False).build()]),
    ),
]


@pytest.mark.parametrize(("rule", "kind", "fault"), FAULTS)
def test_one_fault_in_a_list_is_found(
    forge: Forge, rule: str, kind: str, fault: Callable[[Listed], None]
) -> None:
    """Under its own rule, in an otherwise good list."""
    listed = Listed(forge, kind)
    fault(listed)
    with pytest.raises(LintError) as refused:
        listed.check()
    assert refused.value.rule == rule


def test_issuer_that_may_not_sign_lists_is_found(forge: Forge) -> None:
    """Its key usage says what its key is for."""
    listed = Listed(forge, "full")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    draft = forge.issuing_draft.with_extension(usage, critical=True)
    listed.issuer = draft.sign(forge.root_key)
    with pytest.raises(LintError, match="may not sign"):
        listed.check()


def test_life_of_a_roots_list_is_a_year(forge: Forge) -> None:
    """Its key is kept offline; an issuing CA's is not."""
    listed = Listed(forge, "full")
    listed.by, listed.ends = "root", NOW + timedelta(days=366)
    listed.check()
    listed.ends += timedelta(seconds=1)
    with pytest.raises(LintError, match="life"):
        listed.check()
