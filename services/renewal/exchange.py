"""Ask the CA for the next certificate over mutual TLS (RFC 7030, section 4.2.2).

`task` calls `ask` with the present generation: its certificate and key are what vouches
for the request. The answer is only read here; `answer` checks it.
"""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from pki.identity import SpiffeId
from services.config import RenewalConfig
from services.renewal.errors import (
    AuthorityAwayError,
    AuthorityBusyError,
    RefusedError,
    UnreadableAnswerError,
    UsedKeyError,
)
from services.wire.generation import Generation
from services.wire.tls import client_context

_LONGEST = 64 * 1024  # bytes of an answer
_LATER = (429, 503)
_LONGEST_PAUSE = 3600  # seconds that the CA may ask for
_USED_KEY = "used_key:"  # `services.enrolment.errors`
_SAID = 200  # characters of a refusal, for the log


@dataclass(frozen=True, slots=True)
class Answered:
    """What the CA has sent; nothing of it is checked."""

    certificate: x509.Certificate
    authorities: tuple[x509.Certificate, ...]
    date: datetime | None  # the CA's clock


def request_for(
    key: ec.EllipticCurvePrivateKey, present: x509.Certificate
) -> x509.CertificateSigningRequest:
    """Return the request for the same subject and names as those of `present`."""
    found = present.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return (
        x509.CertificateSigningRequestBuilder(present.subject)
        .add_extension(found.value, critical=found.critical)
        .sign(key, hashes.SHA256())
    )


def ask(
    request: x509.CertificateSigningRequest,
    present: Generation,
    config: RenewalConfig,
) -> Answered:
    """Return what the CA answers to `request`, of whoever holds `present`.

    Raises:
        AuthorityAwayError: there is no answer.
        AuthorityBusyError: it asks to come back later.
        RefusedError, UsedKeyError: it refuses.
        UnreadableAnswerError: the answer is not what it should be.
    """
    base = config.url.rstrip("/")
    try:
        context = client_context(present, SpiffeId.parse(config.spiffe_id))
        with httpx.Client(
            verify=context, timeout=config.patience, trust_env=False
        ) as client:
            answer = client.post(
                f"{base}/simplereenroll",
                content=b64encode(request.public_bytes(Encoding.DER)),
                headers={"Content-Type": "application/pkcs10"},
            )
            leaf, *others = _certificates(answer)
            authorities = _certificates(client.get(f"{base}/cacerts"))
    except (httpx.HTTPError, OSError) as error:
        raise AuthorityAwayError(f"{base}: {type(error).__name__}: {error}") from error
    if others:  # section 4.2.3: the certificate that was issued, alone
        raise UnreadableAnswerError(f"{1 + len(others)} certificates in the answer")
    return Answered(leaf, tuple(authorities), _date(answer))


def _certificates(answer: httpx.Response) -> list[x509.Certificate]:
    """Return the certificates in an answer, one or more."""
    if answer.status_code in _LATER:
        raise AuthorityBusyError(
            f"the CA answered {answer.status_code}", _retry_after(answer)
        )
    if answer.status_code != httpx.codes.OK:
        said = answer.text[:_SAID].strip()
        kind = UsedKeyError if said.startswith(_USED_KEY) else RefusedError
        raise kind(f"the CA answered {answer.status_code}: {said}")
    if len(answer.content) > _LONGEST:
        raise UnreadableAnswerError(f"an answer of {len(answer.content)} bytes")
    try:
        der = b64decode(answer.content.translate(None, b" \t\r\n"), validate=True)
        return pkcs7.load_der_pkcs7_certificates(der)
    except (binascii.Error, ValueError) as error:
        raise UnreadableAnswerError(f"no certs-only PKCS #7: {error}") from error


def _retry_after(answer: httpx.Response) -> timedelta:
    said = answer.headers.get("retry-after", "")
    seconds = int(said) if said.isascii() and said.isdigit() else 0
    return timedelta(seconds=min(seconds, _LONGEST_PAUSE))


def _date(answer: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
