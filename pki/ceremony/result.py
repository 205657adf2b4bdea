"""What a ceremony leaves behind: certificates, the root's list, a signed transcript.

The transcript says who did what when, on which machine, from which bytes to which. The
root's key signs it, so a changed word is found by whoever has the root's certificate;
the key of another root that took part signs it too. What is carried to the CA's host is
one document with all of it.

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
from pki.pointers import authority_of, signer_of

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


class _Signed(msgspec.Struct, forbid_unknown_fields=True):
    root: str
    crl: bytes
    signature: bytes


class _Document(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    version: int
    transcript: str
    signature: bytes
    root: str
    certificates: list[str]
    crl: bytes
    others: list[_Signed] = []


class OtherOutputs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The SHA-256 of another root and its list, in lower-case hex."""

    root: str
    crl: str


class Outputs(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True
):
    """The SHA-256 of what a ceremony made, in lower-case hex."""

    root: str
    certificates: list[str]
    crl: str
    others: list[OtherOutputs] = []


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
class Listing:
    """A root that took part in a ceremony, and its revocation list."""

    root: x509.Certificate
    crl: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """A result whose transcript was verified under every root that it brings."""

    root: x509.Certificate  # the one that acted
    certificates: tuple[x509.Certificate, ...]
    crl: bytes
    transcript: Transcript
    others: tuple[Listing, ...] = ()

    @property
    def listings(self) -> tuple[Listing, ...]:
        """All roots that took part, the one that acted first."""
        return (Listing(self.root, self.crl), *self.others)

    def issuer_of(self, certificate: x509.Certificate) -> x509.Certificate:
        """Return the root whose key is named as the signer's.

        Raises:
            ResultError: it took no part.
        """
        signer = signer_of(certificate)
        for listing in self.listings:
            if authority_of(listing.root) == signer:
                return listing.root
        raise ResultError("a certificate is by a root that took no part")

    def is_cross(self, certificate: x509.Certificate) -> bool:
        """Return whether it is for the key of a root."""
        keys = [listing.root.public_key() for listing in self.listings]
        return certificate.public_key() in keys


def write_result(
    transcript: Transcript,
    signers: Sequence[tuple[Listing, ec.EllipticCurvePrivateKey]],
    certificates: Sequence[x509.Certificate],
) -> bytes:
    """Return the document, its transcript signed by each root; the first one acted."""
    text = msgspec.json.format(msgspec.json.encode(transcript), indent=2) + b"\n"
    acting, *others = (
        _Signed(
            root=_pem(listing.root),
            crl=listing.crl,
            signature=key.sign(text, ec.ECDSA(hashes.SHA256())),
        )
        for listing, key in signers
    )
    document = _Document(
        format=_FORMAT,
        version=_VERSION,
        transcript=text.decode(),
        signature=acting.signature,
        root=acting.root,
        certificates=[_pem(one) for one in certificates],
        crl=acting.crl,
        others=others,
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_result(text: bytes) -> Result:
    """Return what a document holds, after these checks.

    1. It is of the known form.
    2. The key of each of its roots signed the transcript.
    3. The transcript says the SHA-256 of each root, certificate and list.

    Whether the root is the right one is not known by that: see `taking`.

    Raises:
        ResultError: the subclass says which does not hold.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)  # 1
        acting = _Signed(document.root, document.crl, document.signature)
        signed = [(_read(one.root), one) for one in (acting, *document.others)]
        certificates = [_read(one) for one in document.certificates]
    except (msgspec.MsgspecError, ValueError) as error:
        raise ResultError(f"not the result of a ceremony: {error}") from error
    if (document.format, document.version) != (_FORMAT, _VERSION):
        raise ResultError(f"result of version {document.version}: {_VERSION} is known")
    transcript = document.transcript.encode()
    for root, one in signed:
        _check_signature(root, one.signature, transcript)  # 2
    try:
        stated = msgspec.json.decode(transcript, type=Transcript)
    except msgspec.MsgspecError as error:
        raise ResultError(f"not the transcript of a ceremony: {error}") from error
    first, *others = (Listing(root, one.crl) for root, one in signed)
    if stated.outputs != outputs_of([first, *others], certificates):  # 3
        raise ForeignOutputError("the transcript is about other bytes than these")
    return Result(first.root, tuple(certificates), first.crl, stated, tuple(others))


def _check_signature(
    root: x509.Certificate, signature: bytes, transcript: bytes
) -> None:
    key = root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ResultError("the root's key is not on an elliptic curve")
    try:
        key.verify(signature, transcript, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise TamperedTranscriptError(
            "the root's key did not sign this transcript"
        ) from error


def outputs_of(
    listings: Sequence[Listing], certificates: Sequence[x509.Certificate]
) -> Outputs:
    """Return what a transcript says of these; the first of the roots acted."""
    acting, *others = (
        OtherOutputs(
            root=fingerprint(listing.root), crl=hashlib.sha256(listing.crl).hexdigest()
        )
        for listing in listings
    )
    return Outputs(
        root=acting.root,
        certificates=[fingerprint(one) for one in certificates],
        crl=acting.crl,
        others=others,
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


def _read(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
