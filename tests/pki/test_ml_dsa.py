"""The parallel CA: what it makes, what its statements prove, and what they do not."""

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa

from pki import clock, envelope, inventory, signing
from pki.entry import Event
from pki.errors import PkiError
from pki.inspection import KeyLostError, WrongKeyError
from pki.inventory import Presented
from pki.layout import NoAuthorityError
from pki.ledger import BrokenLedgerError, open_ledger
from pki.lint_pointers import LintError
from pki.ml_dsa import authority, keys, profiles, statement
from pki.ml_dsa.authority import ForeignCertificateError, ParallelCa, Passphrases
from pki.ml_dsa.statement import (
    ISSUING,
    ROOT,
    NoStatementError,
    OtherCertificateError,
    QuantumUnsafeError,
    verify_statement,
)
from pki.path import UntrustedPathError
from pki.trust import OtherTrustDomainError
from tests.pki.builders import CHEAP, Ca, csr, p256
from tests.pki.command import pki

ORDERS = "orders@localhost"
ROOT_PASSPHRASE = b"parallel root passphrase of the tests"
PASSPHRASE = b"parallel issuing passphrase of the tests"


def later(**by: float) -> Callable[[], datetime]:
    """Return a clock that is ahead."""
    return lambda: clock.utc_now() + timedelta(**by)


def parallel(ca: Ca, now: Callable[[], datetime] = clock.utc_now) -> ParallelCa:
    """Return the parallel CA beside `ca`."""
    passphrases = Passphrases(root=lambda: ROOT_PASSPHRASE, issuing=lambda: PASSPHRASE)
    return ParallelCa(ca.layout, passphrases, "parallel", now, CHEAP)


def shown(ca: Ca, identity: str = ORDERS) -> list[x509.Certificate]:
    """Return the statement on an identity's newest certificate, and who made it."""
    with open_ledger(ca.layout.ledger) as ledger:
        pem = statement.shown(ledger, identity)
    return x509.load_pem_x509_certificates(pem.encode())


@pytest.fixture
def vouching(ca: Ca) -> Ca:
    """Return a CA with a parallel one that has made its statements."""
    ca.one()
    assert parallel(ca).found()
    assert parallel(ca).sign() == 1
    return ca


def test_a_statement_says_what_the_certificate_says(ca: Ca) -> None:
    """Key, names and time; each signature above the key is ML-DSA."""
    certificate = ca.one()
    parallel(ca).found()
    parallel(ca).sign()
    chain = shown(ca)
    root = ca.certificate(ROOT)
    vouched = verify_statement(chain, root, at=clock.utc_now(), certificate=certificate)
    assert str(vouched.names.spiffe_id) == "spiffe://shop.internal/service/orders"
    said, issuing = chain
    assert said.public_key() == certificate.public_key()
    assert said.not_valid_after_utc == certificate.not_valid_after_utc
    assert said.serial_number != certificate.serial_number
    assert isinstance(root.public_key(), mldsa.MLDSA87PublicKey)
    assert isinstance(issuing.public_key(), mldsa.MLDSA65PublicKey)
    of_issuer = x509.AuthorityKeyIdentifier
    for extension in certificate.extensions:
        if not isinstance(extension.value, of_issuer):
            same = said.extensions.get_extension_for_oid(extension.oid)
            assert same == extension


@pytest.mark.parametrize("purpose", [ROOT, ISSUING, ORDERS])
def test_algorithms_have_no_parameters(vouching: Ca, purpose: str) -> None:
    """RFC 9881, sections 2 and 4: an identifier is an OID alone, in keys as well."""
    certificate = (
        shown(vouching)[0] if purpose == ORDERS else vouching.certificate(purpose)
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    oid = {ROOT: 19, ISSUING: 19, ORDERS: 18}[purpose]
    signed_with = bytes.fromhex("300b0609608648016503040300")[:-1] + bytes([oid])
    assert der.count(signed_with) == {ROOT: 3, ISSUING: 2, ORDERS: 2}[purpose]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert not usage.key_encipherment
    assert not usage.data_encipherment
    assert not usage.key_agreement


def test_it_is_in_the_ledger_as_every_certificate(vouching: Ca) -> None:
    """Planned, then issued; and nothing else finds another newest certificate."""
    said, _ = shown(vouching)
    with open_ledger(vouching.layout.ledger) as ledger:
        ledger.verify()
        events = [
            entry.event
            for entry in ledger.entries()
            if entry.serial == f"{said.serial_number:x}"
        ]
        newest = ledger.newest_issued(ORDERS)
        assert newest
        assert ledger.holder_of(newest.spki_sha256) == ORDERS
    assert events == [Event.PLANNED, Event.ISSUED]


def test_a_second_run_finds_nothing_to_do(vouching: Ca) -> None:
    """Nor does it ask for a passphrase."""

    def nobody() -> bytes:
        pytest.fail("the passphrase was asked for")

    silent = Passphrases(root=nobody, issuing=nobody)
    again = ParallelCa(vouching.layout, silent, "again", cost=CHEAP)
    assert not again.found()
    assert again.sign() == 0


def test_a_certificate_of_later_gets_its_statement(vouching: Ca) -> None:
    """With the next run; the one before keeps its own."""
    vouching.one("stock@localhost")
    (answer,) = vouching.issue((ORDERS, csr())).answers
    with pytest.raises(NoStatementError, match="ml-dsa sign"):
        shown(vouching)
    assert parallel(vouching).sign() == 2
    assert answer.certificate
    verify_statement(
        shown(vouching),
        vouching.certificate(ROOT),
        at=clock.utc_now(),
        certificate=answer.certificate,
    )


def test_what_was_revoked_gets_none(ca: Ca) -> None:
    """The CA vouches for it no more."""
    ca.one()
    ca.revoke(ORDERS)
    parallel(ca).found()
    assert parallel(ca).sign() == 0


def test_many_are_signed_in_batches(ca: Ca, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the CA's lock is free between two."""
    monkeypatch.setattr(authority, "_BATCH", 1)
    ca.one()
    ca.one("stock@localhost")
    parallel(ca).found()
    assert parallel(ca).sign() == 2
    assert parallel(ca).sign() == 0


def test_the_issuing_ca_is_certified_anew_at_half_of_its_life(vouching: Ca) -> None:
    """For the same key, so that earlier statements stay good."""
    before = vouching.certificate(ISSUING)
    assert not parallel(vouching, later(days=89)).found()
    assert parallel(vouching, later(days=91)).found()
    after = vouching.certificate(ISSUING)
    assert after != before
    assert after.public_key() == before.public_key()


def test_who_was_killed_between_key_and_certificate_goes_on(ca: Ca) -> None:
    """The key on the disk is the one that is certified then."""
    key, sealed = keys.make(ROOT, ROOT_PASSPHRASE, cost=CHEAP)
    ca.layout.sealed_key(ROOT).write_bytes(sealed)
    ca.layout.sealed_key(ROOT).chmod(0o600)
    assert parallel(ca).found()
    assert ca.certificate(ROOT).public_key() == key.public_key()


def test_a_file_that_is_lost_is_written_again(vouching: Ca) -> None:
    """The certificate is in the ledger."""
    before = vouching.certificate(ROOT)
    vouching.layout.certificate(ROOT).unlink()
    assert parallel(vouching).found()
    assert vouching.certificate(ROOT) == before


def test_a_lost_key_is_not_made_again(vouching: Ca) -> None:
    """Another key would not be that of the certificate."""
    vouching.layout.sealed_key(ISSUING).unlink()
    vouching.one("stock@localhost")
    with pytest.raises(KeyLostError, match=r"ml-dsa-issuing\.key\.sealed"):
        parallel(vouching).sign()


def test_another_key_is_not_used(vouching: Ca) -> None:
    """The file of another parallel CA, under the same passphrase."""
    _, sealed = keys.make(ISSUING, PASSPHRASE, cost=CHEAP)
    vouching.layout.sealed_key(ISSUING).write_bytes(sealed)
    vouching.one("stock@localhost")
    with pytest.raises(WrongKeyError, match="not the key of the ml-dsa-issuing"):
        parallel(vouching).sign()


def test_the_key_of_another_kind_is_no_key(vouching: Ca) -> None:
    """A P-256 key in an envelope that says it is the parallel one."""
    key = p256()
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    sealed = envelope.seal(
        plain, PASSPHRASE, purpose=ISSUING, public=key.public_key(), cost=CHEAP
    )
    with pytest.raises(envelope.EnvelopeError, match="no ml-dsa-issuing key"):
        keys.unseal(sealed, PASSPHRASE, purpose=ISSUING)


def test_without_a_parallel_ca_nothing_is_signed(ca: Ca) -> None:
    """And the refusal says which verb makes one."""
    ca.one()
    with pytest.raises(NoAuthorityError, match="ml-dsa init"):
        parallel(ca).sign()


def test_a_ledger_that_was_changed_is_not_vouched_for(vouching: Ca) -> None:
    """It is verified before the first statement."""
    vouching.one("stock@localhost")
    with open_ledger(vouching.layout.ledger) as ledger:
        ledger.connection.execute("DROP TRIGGER entry_is_never_changed", [])
        ledger.connection.execute(
            "UPDATE entry SET run_id = 'x' WHERE sequence = 2", []
        )
    with pytest.raises(BrokenLedgerError):
        parallel(vouching).sign()


def test_a_certificate_of_another_ca_is_not_vouched_for(
    vouching: Ca, tmp_path: Path
) -> None:
    """Whoever may write the ledger can put one there, chained as it should be."""
    other = Ca.found(tmp_path / "other")
    other.one("stock@localhost")
    with open_ledger(other.layout.ledger) as ledger:
        foreign = ledger.newest_issued("stock@localhost")
    assert foreign
    with open_ledger(vouching.layout.ledger) as ledger, ledger.transaction():
        ledger.append(foreign)
    with pytest.raises(ForeignCertificateError, match=foreign.serial):
        parallel(vouching).sign()


def test_a_key_of_another_kind_is_found_by_the_lint(
    forge_key: mldsa.MLDSA44PrivateKey,
) -> None:
    """ML-DSA-44 is below the categories that we sign with."""
    builder = profiles.root(
        forge_key.public_key(),  # type: ignore[arg-type]  # the fault
        trust_domain="shop.internal",
        lifetime=timedelta(days=1),
        now=clock.utc_now(),
    )
    holder = signing.Holder(kind=ROOT, identity=ROOT, spiffe_id="", spki_sha256="")
    with pytest.raises(LintError, match="key: not of ML-DSA-65"):
        signing.place_order(
            builder, holder, issuer=None, now=clock.utc_now(), run_id="test"
        )


@pytest.fixture
def forge_key() -> mldsa.MLDSA44PrivateKey:
    """Return a key of the lowest category."""
    return mldsa.MLDSA44PrivateKey.generate()


# What a statement does not prove


def refused(
    ca: Ca, chain: list[x509.Certificate], kind: type[PkiError], **changes: object
) -> str:
    """Return why a statement is refused that one thing is wrong with."""
    given: dict[str, object] = {"root": ca.certificate(ROOT), "at": clock.utc_now()}
    with pytest.raises(kind) as caught:
        verify_statement(chain, **given | changes)  # type: ignore[arg-type]  # by name
    return str(caught.value)


def test_nothing_shown_is_refused(vouching: Ca) -> None:
    """An empty file is no statement."""
    refused(vouching, [], NoStatementError)


def test_a_certificate_is_no_statement(vouching: Ca) -> None:
    """ECDSA is what a quantum computer forges, however good the chain is today."""
    certificate = vouching.one("stock@localhost")
    chain = [certificate, vouching.certificate("issuing")]
    refused(vouching, chain, QuantumUnsafeError, root=vouching.certificate("root"))


def test_the_root_of_everybody_vouches_for_no_statement(vouching: Ca) -> None:
    """It is the one signature in the chain that is not ML-DSA."""
    root = vouching.certificate("root")
    refused(vouching, shown(vouching), QuantumUnsafeError, root=root)


def test_another_parallel_root_vouches_for_nothing_here(
    vouching: Ca, tmp_path: Path
) -> None:
    """Of the same trust domain, and by the same names."""
    other = Ca.found(tmp_path / "other")
    parallel(other).found()
    root = other.certificate(ROOT)
    refused(vouching, shown(vouching), UntrustedPathError, root=root)


def test_the_parallel_root_of_another_domain_speaks_for_its_own(
    vouching: Ca,
) -> None:
    """A root's own name says for whom it speaks."""
    key = mldsa.MLDSA87PrivateKey.generate()
    now = clock.utc_now()
    root = profiles.root(
        key.public_key(),
        trust_domain="other.internal",
        lifetime=timedelta(days=1),
        now=now,
    ).sign(key, None)
    refused(vouching, shown(vouching), OtherTrustDomainError, root=root)


def test_a_statement_ends_with_its_certificate(vouching: Ca) -> None:
    """Asked of a moment in its time, it still proves what it said of that time."""
    chain, moment = shown(vouching), clock.utc_now()
    refused(vouching, chain, UntrustedPathError, at=moment + timedelta(days=2))
    verify_statement(chain, vouching.certificate(ROOT), at=moment)


def test_it_is_about_one_certificate(vouching: Ca) -> None:
    """Not about a newer one of the same identity."""
    chain = shown(vouching)
    (answer,) = vouching.issue((ORDERS, csr())).answers
    refused(vouching, chain, OtherCertificateError, certificate=answer.certificate)


def test_a_changed_statement_is_refused(vouching: Ca) -> None:
    """One bit of the signature."""
    said, issuing = shown(vouching)
    der = bytearray(said.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    changed = x509.load_der_x509_certificate(bytes(der))
    refused(vouching, [changed, issuing], UntrustedPathError)


def test_the_command_does_it_all(ca: Ca, tmp_path: Path) -> None:
    """Founded, signed, shown, and verified without the CA."""
    certificate = tmp_path / "orders.pem"
    certificate.write_bytes(ca.one().public_bytes(serialization.Encoding.PEM))
    directory = ("--directory", ca.layout.directory)
    given = {"root": ROOT_PASSPHRASE, "issuing": PASSPHRASE}
    made = pki("ml-dsa", "init", *directory, passphrases=given).answer
    assert made["changed"] is True
    root = tmp_path / "root.pem"
    root.write_text(made["pem"])
    issuing = {"issuing": PASSPHRASE}
    signed = pki("ml-dsa", "sign", *directory, passphrases=issuing).answer
    assert signed == {"changed": True, "statements": 1}
    told = pki("ml-dsa", "show", *directory, "--identity", ORDERS)
    verify = ("ml-dsa", "verify", "--root", root)
    vouched = pki(*verify, "--certificate", certificate, document=told.output).answer
    assert vouched["spiffe_id"] == "spiffe://shop.internal/service/orders"
    assert vouched["dns_names"] == ["orders.shop.internal", "localhost"]
    past = pki(*verify, "--at", "2026-01-01T00:00:00Z", document=told.output)
    assert past.refusal["error"] == "untrusted_path"
    other = pki("ml-dsa", "show", *directory, "--identity", "stock@localhost")
    assert other.refusal["error"] == "no_statement"


def test_what_verifies_loads_no_key(loaded_by: Callable[[str], set[str]]) -> None:
    """A statement is verified without the code that could make one."""
    loaded = loaded_by("pki.ml_dsa.statement")
    assert not loaded & {"pki.ml_dsa.keys", "pki.ml_dsa.authority", "pki.signing"}


def test_openssl_verifies_from_3_5_on(vouching: Ca, tmp_path: Path) -> None:
    """The whole chain, strictly; earlier ones know no ML-DSA, and refuse it."""
    version = subprocess.run(
        ["openssl", "version"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    for name, certificate in zip(
        ("statement", "issuing"), shown(vouching), strict=True
    ):
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (tmp_path / name).write_bytes(pem)
    done = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-untrusted", "issuing"),
            *("-CAfile", vouching.layout.certificate(ROOT), "statement"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    knows = tuple(map(int, version.split(".")[:2])) >= (3, 5)
    assert (done.returncode == 0) is knows, done.stderr


@pytest.mark.parametrize(
    ("groups", "key_exchange"),
    [
        ([], "unknown"),
        (["unknown"], "unknown"),
        (["X25519"], "no"),
        (["X25519MLKEM768", "X25519"], "no"),
        (["X25519MLKEM768"], "yes"),
    ],
)
def test_the_inventory_says_what_would_last(
    vouching: Ca, groups: list[str], key_exchange: str
) -> None:
    """Each of the three for itself, of identities and of nothing else."""
    vouching.one("stock@localhost")
    said = {ORDERS: Presented(groups=groups)}
    with open_ledger(vouching.layout.ledger) as ledger:
        items = inventory.take(ledger, clock.utc_now(), presented=said)
    found = {
        item.identity: (
            item.quantum_safe_key_exchange,
            item.quantum_safe_authentication,
            item.quantum_safe_statement,
        )
        for item in items
    }
    assert found == {
        **dict.fromkeys(("root", "issuing", ROOT, ISSUING), ("", "", "")),
        ORDERS: (key_exchange, "no", "yes"),
        "stock@localhost": ("unknown", "no", "no"),
    }
