"""Independent software agrees: on what is good, on what is revoked, on every form."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki import clock, lint
from pki.ledger import open_ledger
from pki.lint_pointers import LintError
from pki.ocsp import OcspService
from pki.pointers import authority_of
from pki.present import find_cross
from pki.responder import read_responder
from pki.rotation_steps import Phase, What
from tests.debian import installed
from tests.judges.verdicts import Judge, Verdict
from tests.pki.builders import ADDRESSES, Ca, Draft, Forge, policy_document, uri
from tests.pki.rotating import Rotating

PROJECT = Path(__file__).parents[3]
GOOD, BAD = "orders@localhost", "stock@localhost"
# A SPIFFE ID is a URI; pkilint's check knows web-like schemes only.
ALLOWED = {"pkix.invalid_uri_syntax"}

pytestmark = pytest.mark.judges
need_openssl = pytest.mark.skipif(
    not shutil.which("openssl"), reason="there is no openssl command here"
)
need_pkilint = pytest.mark.skipif(
    find_spec("pkilint") is None, reason="pkilint is not installed"
)
either = pytest.mark.parametrize("name", ["good", "bad"])


@dataclass(frozen=True)
class Told:
    """A CA with a good certificate and a revoked one, and all of it as files."""

    ca: Ca
    directory: Path
    certificates: dict[str, x509.Certificate]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a judge among the files."""
        return subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, check=False
        )

    def answer(self, name: str, request: Path) -> None:
        """Answer an OCSP request in a file, as the web's side does."""
        answered = OcspService(self.ca.layout).answer(
            request.read_bytes(), now=clock.utc_now()
        )
        (self.directory / name).write_bytes(answered.der)


def document() -> dict[str, object]:
    """Return a policy whose names a linter for the web takes for names of hosts."""
    stated = policy_document(addresses=ADDRESSES)
    for identity in stated["identities"].values():
        identity["dns_names"] = identity["dns_names"][:1]
    stated["permitted_dns"] = ["shop.internal"]
    return stated


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return it with the revoked certificate revoked."""
    directory = tmp_path_factory.mktemp("told")
    ca = Ca.found(directory / "ca", document())
    certificates = {"good": ca.one(GOOD)}
    ca.revoke(serial=ca.one(GOOD).serial_number)
    certificates["bad"] = ca.one(BAD)
    scopes = ("full", "0", "1", "2", "3")
    write_lists(ca, directory, "before", ["full"])
    ca.revoke(BAD)
    write_lists(ca, directory, "after", [*scopes, "delta"])
    certificates |= {name: ca.certificate(name) for name in ("root", "issuing")}
    responder = read_responder(
        ca.layout.responder(authority_of(certificates["issuing"]))
    )
    assert responder
    certificates["responder"] = responder.certificate
    for name, certificate in certificates.items():
        pem = certificate.public_bytes(Encoding.PEM)
        (directory / f"{name}.pem").write_bytes(pem)
    root = ca.crl(by="root").public_bytes(Encoding.PEM)
    (directory / "root.crl").write_bytes(root)
    return Told(ca, directory, certificates)


def write_lists(ca: Ca, directory: Path, when: str, scopes: list[str]) -> None:
    """Write lists of some scopes as PEM files."""
    for scope in scopes:
        pem = ca.crl(scope).public_bytes(Encoding.PEM)
        (directory / f"{when}-{scope}.crl").write_bytes(pem)


@pytest.fixture
def verdict(request: pytest.FixtureRequest) -> Verdict:
    """Return where this test notes what a judge has said."""
    return Verdict(request.node)


def openssl() -> Judge:
    """Return OpenSSL by its version."""
    said = subprocess.run(
        ["openssl", "version"], capture_output=True, text=True, check=True
    )
    return Judge("OpenSSL", said.stdout.split()[1])


FORMS = {
    "full": ("-crl_check", ["after-full"]),
    "full and root": ("-crl_check_all", ["after-full", "root"]),
    "shards": (
        "-crl_check -extended_crl",
        ["after-0", "after-1", "after-2", "after-3"],
    ),
    "delta": (
        "-crl_check -extended_crl -use_deltas",
        ["before-full", "after-delta"],
    ),
}


@need_openssl
@either
@pytest.mark.parametrize("form", FORMS)
def test_openssl_verify_agrees(
    told: Told, verdict: Verdict, form: str, name: str
) -> None:
    """By full list, with the root's, by shards, by an older list and its delta."""
    options, lists = FORMS[form]
    together = told.directory / f"{form}-{name}.pem"
    together.write_bytes(
        b"".join((told.directory / f"{part}.crl").read_bytes() for part in lists)
    )
    done = told.run(
        *("openssl", "verify", "-x509_strict", *options.split()),
        *("-CAfile", "root.pem", "-untrusted", "issuing.pem"),
        *("-CRLfile", together.name, f"{name}.pem"),
    )
    if name == "good":
        assert done.returncode == 0, done.stderr
        verdict(openssl(), accepted=f"good, by {form}")
    else:
        assert done.returncode != 0
        assert "certificate revoked" in done.stderr
        verdict(openssl(), refused=f"revoked, by {form}")


@need_openssl
def test_list_before_the_revocation_lets_it_pass(told: Told) -> None:
    """So it is the delta that refuses, in the test above."""
    done = told.run(
        *("openssl", "verify", "-crl_check", "-CAfile", "root.pem"),
        *("-untrusted", "issuing.pem", "-CRLfile", "before-full.crl", "bad.pem"),
    )
    assert done.returncode == 0, done.stderr


@need_openssl
@either
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
def test_openssl_ocsp_agrees(
    told: Told, verdict: Verdict, digest: str, nonce: str, name: str
) -> None:
    """It asks, and checks answer, signature, responder, times and nonce."""
    case = f"{name}{digest}{nonce}"
    asked = [
        *("openssl", "ocsp", digest, nonce, "-issuer", "issuing.pem"),
        *("-cert", f"{name}.pem"),
    ]
    made = told.run(*asked, "-reqout", f"{case}.request")
    assert made.returncode == 0, made.stderr
    told.answer(f"{case}.answer", told.directory / f"{case}.request")
    done = told.run(
        # Without a new nonce it compares the answer's with that of the request.
        *(
            "openssl",
            "ocsp",
            "-no_nonce",
            "-issuer",
            "issuing.pem",
            digest,
            "-cert",
            f"{name}.pem",
        ),
        *("-reqin", f"{case}.request", "-respin", f"{case}.answer"),
        *("-CAfile", "root.pem"),
    )
    assert "Response verify OK" in done.stderr, done.stderr
    assert "nonce" not in done.stderr.lower()
    said = {"good": f"{name}.pem: good", "bad": f"{name}.pem: revoked"}[name]
    assert said in done.stdout
    if name == "good":
        verdict(openssl(), accepted="good, by OCSP")
    else:
        assert "keyCompromise" in done.stdout
        verdict(openssl(), refused="revoked, by OCSP")


@pytest.mark.parametrize(
    ("scope", "issuer"),
    [
        ("after-full", "issuing"),
        ("after-0", "issuing"),
        ("after-3", "issuing"),
        ("after-delta", "issuing"),
        ("root", "root"),
    ],
)
def test_certtool_verifies_lists(
    told: Told, verdict: Verdict, scope: str, issuer: str
) -> None:
    """Signed by the issuer, and not by the other CA."""
    judge = Judge("GnuTLS", installed("gnutls-bin", Path("/usr/bin/certtool")))
    other = {"issuing": "root", "root": "issuing"}[issuer]
    said = {
        name: told.run(
            *("certtool", "--verify-crl", "--load-ca-certificate", f"{name}.pem"),
            *("--infile", f"{scope}.crl"),
        ).stdout
        for name in (issuer, other)
    }
    assert "Verified. The certificate is trusted" in said[issuer]
    assert "Not verified" in said[other]
    verdict(judge, accepted="lists", refused="lists of another CA")


@either
def test_certtool_agrees(told: Told, verdict: Verdict, name: str) -> None:
    """A chain against the full list."""
    judge = Judge("GnuTLS", installed("gnutls-bin", Path("/usr/bin/certtool")))
    chain = [
        (told.directory / f"{part}.pem").read_bytes() for part in (name, "issuing")
    ]
    (told.directory / f"{name}-chain.pem").write_bytes(b"".join(chain))
    done = told.run(
        *("certtool", "--verify", "--load-ca-certificate", "root.pem"),
        *("--load-crl", "after-full.crl", "--infile", f"{name}-chain.pem"),
    )
    if name == "good":
        assert "Chain verification output: Verified" in done.stdout
        verdict(judge, accepted="good, by full")
    else:
        assert "The certificate chain is revoked" in done.stdout
        verdict(judge, refused="revoked, by full")


def put(directory: Path, kind: str, name: str, der: bytes) -> Path:
    """Write what pkilint is to look at, where its kind says how."""
    path = directory / kind / f"{name}.der"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(der)
    return path


def ask_pkilint(paths: list[Path]) -> dict[str, set[str]]:
    """Return the codes of what it found, by kind and name."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pki.linting", *paths],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: set(codes) for name, codes in map(json.loads, done.stdout.splitlines())
    }


@need_pkilint
def test_pkilint_finds_nothing(told: Told, verdict: Verdict, tmp_path: Path) -> None:
    """In every kind of certificate, list and answer, but that spiffe is a scheme."""
    rotated = Rotated.of(told, tmp_path / "rotating")
    certificates = {**told.certificates, **rotated.certificates}
    paths = [
        put(tmp_path, "certificate", name, certificate.public_bytes(Encoding.DER))
        for name, certificate in certificates.items()
    ]
    issuers = {"good": "issuing", "responder": "issuing", "issuing": "root"}
    issuers |= {"new-with-old": "root", "new-issuing": "new-root"}
    for name, issuer in issuers.items():
        place = tmp_path / "pair" / name
        for part, of in (("issuer", issuer), ("subject", name)):
            place.mkdir(parents=True, exist_ok=True)
            der = certificates[of].public_bytes(Encoding.DER)
            (place / f"{part}.der").write_bytes(der)
        paths.append(place)
    for scope in ("full", "delta", "0", "1", "2", "3"):
        der = told.ca.crl(scope).public_bytes(Encoding.DER)
        paths.append(put(tmp_path, "crl", scope, der))
    root = told.ca.crl(by="root").public_bytes(Encoding.DER)
    paths.append(put(tmp_path, "arl", "root", root))
    for kind, name, der in rotated.lists:
        paths.append(put(tmp_path, kind, name, der))
    paths += [put(tmp_path, "ocsp", name, der) for name, der in answers(told).items()]
    found = ask_pkilint(paths)
    assert len(found) == len(paths) == 9 + 5 + 6 + 1 + 4 + 6
    spiffe = {f"certificate/{name}.der" for name in certificates if name != "responder"}
    for name, codes in found.items():
        assert codes <= (ALLOWED if name in spiffe else set()), name
    judge = Judge("pkilint", metadata.version("pkilint"))
    verdict(judge, accepted="certificates, lists, answers")


@dataclass(frozen=True)
class Rotated:
    """What a rotation of the root adds, once the old one is distrusted."""

    certificates: dict[str, x509.Certificate]
    lists: list[tuple[str, str, bytes]]  # kind, name, DER

    @classmethod
    def of(cls, told: Told, place: Path) -> "Rotated":
        """Rotate a copy of the CA."""
        ca = Ca.at(Path(shutil.copytree(told.ca.layout.directory, place)))
        rotating = Rotating(ca, What.ROOT).to(Phase.DISTRUSTING)
        standing = rotating.standing
        old, new = standing.steps[-1].before, standing.steps[-1].after
        wanted = {
            ("crl", new.issuing, "full"),
            ("crl", old.issuing, "full"),  # for as long as its certificates last
            ("arl", new.root, "full"),
            ("arl", old.root, "full"),  # which says that its issuing CA is revoked
        }
        with open_ledger(ca.layout.ledger) as ledger:
            certificates = {
                "new-root": standing.root,
                "new-issuing": standing.issuing,
                "new-with-old": find_cross(ledger, of=new.root, by=old.root),
                "old-with-new": find_cross(ledger, of=old.root, by=new.root),
            }
            lists = [
                (kind, f"{kind}-{authority}", crl.der)
                for kind, authority, scope in sorted(wanted)
                if (crl := ledger.published.crl(authority, scope))
            ]
        return cls({name: one for name, one in certificates.items() if one}, lists)


def answers(told: Told) -> dict[str, bytes]:
    """Return every kind of OCSP answer that is signed."""
    found = {}
    issuing = told.certificates["issuing"]
    service = OcspService(told.ca.layout)
    for nonce in (None, b"n" * 32):
        for name in ("good", "bad", "unknown"):
            builder = ocsp.OCSPRequestBuilder()
            if name == "unknown":
                known = ocsp.load_der_ocsp_request(
                    builder.add_certificate(issuing, issuing, hashes.SHA256())
                    .build()
                    .public_bytes(Encoding.DER)
                )
                builder = builder.add_certificate_by_hash(
                    known.issuer_name_hash,
                    known.issuer_key_hash,
                    4711,
                    hashes.SHA256(),
                )
            else:
                builder = builder.add_certificate(
                    told.certificates[name], issuing, hashes.SHA256()
                )
            if nonce:
                builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
            der = builder.build().public_bytes(Encoding.DER)
            answered = service.answer(der, now=clock.utc_now())
            found[f"{name}-{bool(nonce)}"] = answered.der
    return found


NO_REV_AVAIL = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00"
)


def missed_by_pkilint(forge: Forge) -> dict[str, Draft]:
    """Return the five faults that it lets pass."""
    leaf = forge.leaf_draft
    names = [x509.DNSName("orders.shop.internal")]
    pointers = ADDRESSES.pointers(authority_of(forge.issuing), leaf.serial)
    point, _ = pointers.as_extensions()
    two = [*names, *uri("spiffe://shop.internal/a", "spiffe://shop.internal/b")]
    none = [*names, *uri("spiffe://shop.internal")]
    plain = [*names, *uri("spiffe://shop.internal/service/orders")]
    leaf = leaf.with_extension(x509.SubjectAlternativeName(plain), critical=True)
    return {
        "nothing": leaf,
        "low-entropy serial": leaf.but(serial=20261122173516),
        "two URI names": leaf.with_extension(
            x509.SubjectAlternativeName(two), critical=True
        ),
        "SPIFFE ID without a path": leaf.with_extension(
            x509.SubjectAlternativeName(none), critical=True
        ),
        "noRevAvail beside a CRL pointer": leaf.with_extension(point).with_extension(
            NO_REV_AVAIL
        ),
        "noRevAvail critical": leaf.with_extension(NO_REV_AVAIL, critical=True),
    }


@need_pkilint
def test_our_lint_finds_what_pkilint_misses(
    forge: Forge, verdict: Verdict, tmp_path: Path
) -> None:
    """Five faults; what it learns to find some day need not be ours any more."""
    drafts = missed_by_pkilint(forge)
    signed = {fault: draft.sign(forge.issuing_key) for fault, draft in drafts.items()}
    paths = [
        put(tmp_path, "certificate", fault, certificate.public_bytes(Encoding.DER))
        for fault, certificate in signed.items()
    ]
    for name, codes in ask_pkilint(paths).items():
        assert codes <= ALLOWED, name
    lint.check_certificate(signed.pop("nothing"), kind="service", issuer=forge.issuing)
    for certificate in signed.values():
        with pytest.raises(LintError):
            lint.check_certificate(certificate, kind="service", issuer=forge.issuing)
    judge = Judge("pkilint", metadata.version("pkilint"))
    verdict(judge, accepted="five faults that our lint finds")
