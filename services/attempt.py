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

from services.errors import ServiceError

_TIMEOUT = 5.0  # seconds
_ALERT = re.compile(
    r"^(tlsv1\d?|sslv3) alert "
)  # OpenSSL names the alert's first version


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try: an HTTP status, or None where TLS ended it; and why."""

    status: int | None
    reason: str

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


def request_token(
    client: httpx.Client, endpoint: str, *, client_id: str, resource: str
) -> IssuedToken:
    """Return an access token for `resource`, with every scope the client may have.

    Raises:
        NoTokenError: the token service refused.
        UnreachableError: it did not answer.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "resource": resource,
    }
    try:
        answer = client.post(endpoint, data=form)
    except httpx.HTTPError as error:
        raise UnreachableError(f"{endpoint}: {_ended_by(error)}") from error
    if not answer.is_success:
        raise NoTokenError(_error_of(answer).error or str(answer.status_code))
    issued = answer.json()
    return IssuedToken(issued["access_token"], issued["expires_in"])


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
    try:
        answer = client.get(url, headers=headers)
    except httpx.HTTPError as error:
        return Outcome(None, _ended_by(error))
    if answer.is_success:
        return Outcome(answer.status_code, "")
    body = _error_of(answer)
    return Outcome(answer.status_code, body.error_description or body.error)


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
