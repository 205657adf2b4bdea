"""What a ceremony leaves behind: certificates, the root's list, a signed transcript.

The transcript says who did what when, on which machine, from which bytes to which. The
root's key signs it, so a changed word is found by whoever has the root's certificate.
What is carried to the CA's host is one document with all of it.

What this does not prove: that the people watched. They sign a printed copy for that.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki.errors import PkiError
from pki.identity import trust_domain_uri

_FORMAT = "certbound-ceremony-result"
_VERSION = 1
_GROUP = 4  # characters that are read aloud at once


class ResultError(PkiError):
    """The document of a ceremony cannot be relied on."""

    code = "ceremony_result"


class TamperedTranscriptError(ResultError):
    """The root's key did not sign the transcript as it stands."""

    code = "transcript_tampered"


class ForeignOutputError(ResultError):
    """The transcript does not speak of these certificates or this list."""

    code = "transcript_foreign"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    transcript: str
    signature: bytes
    root: str
    certificates: list[str]
    crl: bytes


class Outputs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The SHA-256 of what a ceremony made, in lower-case hex."""

    root: str
    certificates: list[str]
    crl: str


class Transcript(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What was done, by whom, when and where."""

    format: Literal["certbound-ceremony-transcript"] = "certbound-ceremony-transcript"
    version: Literal[1] = 1
    plan: dict[str, Any]
    plan_sha256: str
    people: list[str]
    machine: dict[str, str]
    steps: list[dict[str, Any]]
    entries: int  # of the offline machine's ledger, and the hash of the last
    head: str
    ended: str
    outputs: Outputs


@dataclass(frozen=True, slots=True)
class Result:
    """A result whose transcript was verified under the root that it brings."""

    root: x509.Certificate
    certificates: tuple[x509.Certificate, ...]
    crl: bytes
    transcript: Transcript


def write_result(
    transcript: Transcript,
    key: ec.EllipticCurvePrivateKey,
    *,
    root: x509.Certificate,
    certificates: list[x509.Certificate],
    crl: bytes,
) -> bytes:
    """Return the document, with the transcript signed by the root's `key`."""
    text = msgspec.json.format(msgspec.json.encode(transcript), indent=2) + b"\n"
    document = _Document(
        format=_FORMAT,
        version=_VERSION,
        transcript=text.decode(),
        signature=key.sign(text, ec.ECDSA(hashes.SHA256())),
        root=_pem(root),
        certificates=[_pem(one) for one in certificates],
        crl=crl,
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_result(text: bytes) -> Result:
    """Return what a document holds, after these checks.

    1. It is of the known form.
    2. The key of its root signed the transcript.
    3. The transcript says the SHA-256 of that root, each certificate and the list.

    Whether the root is the right one is not known by that: see `taking`.

    Raises:
        ResultError: the subclass says which does not hold.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)  # 1
        root = x509.load_pem_x509_certificate(document.root.encode())
        certificates = [
            x509.load_pem_x509_certificate(one.encode())
            for one in document.certificates
        ]
    except (msgspec.MsgspecError, ValueError) as error:
        raise ResultError(f"not the result of a ceremony: {error}") from error
    if (document.format, document.version) != (_FORMAT, _VERSION):
        raise ResultError(f"result of version {document.version}: {_VERSION} is known")
    transcript = document.transcript.encode()
    key = root.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ResultError("the root's key is not on an elliptic curve")
        key.verify(document.signature, transcript, ec.ECDSA(hashes.SHA256()))  # 2
    except InvalidSignature as error:
        raise TamperedTranscriptError(
            "the root's key did not sign this transcript"
        ) from error
    try:
        stated = msgspec.json.decode(transcript, type=Transcript)
    except msgspec.MsgspecError as error:
        raise ResultError(f"not the transcript of a ceremony: {error}") from error
    if stated.outputs != outputs_of(root, certificates, document.crl):  # 3
        raise ForeignOutputError("the transcript is about other bytes than these")
    return Result(root, tuple(certificates), document.crl, stated)


def outputs_of(
    root: x509.Certificate, certificates: Sequence[x509.Certificate], crl: bytes
) -> Outputs:
    """Return what a transcript says of these."""
    return Outputs(
        root=fingerprint(root),
        certificates=[fingerprint(one) for one in certificates],
        crl=hashlib.sha256(crl).hexdigest(),
    )


def is_root_of(root: x509.Certificate, trust_domain: str) -> bool:
    """Return whether a root says of itself that it is one of this trust domain."""
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return trust_domain_uri(trust_domain) in names.value.get_values_for_type(
        x509.UniformResourceIdentifier
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def grouped(digest: str) -> str:
    """Return hex in groups, as it is read aloud."""
    return " ".join(digest[at : at + _GROUP] for at in range(0, len(digest), _GROUP))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
