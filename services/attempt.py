"""One try at something, by somebody, and what came of it.

The probe tries what should work and what should not; the drill tries what a thief
would. Both use plain TLS and plain HTTP here, and not the kit's own client: what they
show must not depend on a caller that behaves.
"""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from pki.clock import utc_now
from services.errors import ServiceError
from services.proof.dpop_client import DpopKey

_TIMEOUT = 5.0  # seconds
_ALERT = re.compile(
    r"^(tlsv1\d?|sslv3) alert "
)  # OpenSSL names the alert's first version

NONCE = "DPoP-Nonce"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105


class UnreachableError(ServiceError):
    """A party did not answer at all."""


class NoTokenError(ServiceError):
    """The token service refused; `code` is what it said."""

    def __init__(self, code: str) -> None:
        super().__init__(f"token service: {code}")
        self.code = code


Files = tuple[Path, Path]  # PEM: certificate chain, private key


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token as the token service gave it; its `lifetime` is in seconds."""

    text: str
    lifetime: int
    nonce: str | None = None  # the next one, for a client of DPoP


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try: an HTTP status, or None where TLS ended it; and why."""

    status: int | None
    reason: str
    nonce: str | None = None  # what the answer says of DPoP (RFC 9449, section 8.2)
    body: bytes = b""

    @property
    def accepted(self) -> bool:
        """Whether the call was answered with what it asked for."""
        return self.status == httpx.codes.OK


class _ErrorBody(msgspec.Struct):
    error: str = ""
    error_description: str = ""


def caller(trust_bundle: Path, identity: Files | None = None) -> httpx.Client:
    """Return a client that trusts `trust_bundle` and presents `identity`.

    Args:
        trust_bundle: PEM file of the roots it believes.
        identity: what it presents; None presents nothing.
    """
    context = ssl.create_default_context(cafile=trust_bundle)
    if identity is not None:
        context.load_cert_chain(*identity)
    return httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False)


def request_token(  # noqa: PLR0913 - a request has that many parts
    client: httpx.Client,
    endpoint: str,
    *,
    client_id: str,
    resource: str,
    subject: str | None = None,
    key: DpopKey | None = None,
) -> IssuedToken:
    """Return an access token for `resource`, with every scope the client may have.

    Args:
        client: who presents the client's certificate.
        endpoint: the token endpoint.
        client_id: the client.
        resource: the audience of the token.
        subject: a token to exchange (RFC 8693); None asks in the client's own name.
        key: what the token is to be bound to, if it is to be a key (RFC 9449).

    Raises:
        NoTokenError: the token service refused.
        UnreachableError: it did not answer.
    """
    form = {"client_id": client_id, "resource": resource}
    if subject is None:
        form |= {"grant_type": "client_credentials"}
    else:
        form |= {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject,
            "subject_token_type": ACCESS_TOKEN_TYPE,
        }
    answer = _post(client, endpoint, form, key, None)
    nonce = answer.headers.get(NONCE)
    if key is not None and nonce and not answer.is_success:
        answer = _post(client, endpoint, form, key, nonce)
    if not answer.is_success:
        raise NoTokenError(_error_of(answer).error or str(answer.status_code))
    issued = answer.json()
    return IssuedToken(issued["access_token"], issued["expires_in"], nonce)


def _post(
    client: httpx.Client,
    endpoint: str,
    form: dict[str, str],
    key: DpopKey | None,
    nonce: str | None,
) -> httpx.Response:
    headers = {}
    if key is not None:
        headers["DPoP"] = key.proof("POST", endpoint, now=utc_now(), nonce=nonce)
    try:
        return client.post(endpoint, data=form, headers=headers)
    except httpx.HTTPError as error:
        raise UnreachableError(f"{endpoint}: {_ended_by(error)}") from error


def fetch(client: httpx.Client, url: str) -> bytes:
    """Return the document at `url`, which is there for everybody TLS admits.

    Raises:
        UnreachableError: it cannot be had.
    """
    try:
        return client.get(url).raise_for_status().content
    except httpx.HTTPError as error:
        raise UnreachableError(f"{url}: {_ended_by(error)}") from error


def call(client: httpx.Client, url: str, token: str | None) -> Outcome:
    """Return what came of a GET of `url` with `token`, or with none."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return send(client, client.build_request("GET", url, headers=headers))


def send(client: httpx.Client, request: httpx.Request) -> Outcome:
    """Return what came of `request`."""
    try:
        answer = client.send(request)
    except httpx.HTTPError as error:
        return Outcome(None, _ended_by(error))
    nonce = answer.headers.get(NONCE)
    if answer.is_success:
        return Outcome(answer.status_code, "", nonce, answer.content)
    body = _error_of(answer)
    reason = body.error_description or body.error or answer.reason_phrase
    return Outcome(answer.status_code, reason, nonce)


def _error_of(answer: httpx.Response) -> _ErrorBody:
    try:
        return msgspec.json.decode(answer.content, type=_ErrorBody)
    except msgspec.DecodeError:
        return _ErrorBody()


def _ended_by(error: Exception) -> str:
    """Return the TLS alert that ended the connection, or what else did."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return (
                f"TLS {_ALERT.sub('alert: ', cause.reason.lower().replace('_', ' '))}"
            )
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}"
