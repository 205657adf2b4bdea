"""Find out which client is asking, by the one method it is registered for.

1. The request names a client: `client_id`, or the subject of an assertion, or both, and
   then both the same (RFC 7521, section 4.2).
2. It is registered.
3. The request holds no other method than that client's (RFC 6749, section 2.3). The
   certificate of the connection is not one by itself: everybody has one, and the token
   of a client that signs assertions is bound to it (RFC 8705, section 3).
4. The method's own check: name and issuer of the certificate (`subject`, `issuers`),
   its SPIFFE ID, the whole of it (`self_signed`), or an assertion (`assertion`).
"""

from datetime import datetime

from services.registration.key import RegisteredKey
from services.registration.methods import PrivateKeyJwt, SelfSigned, SubjectMatch
from services.state.store import AlreadyClaimedError, Store
from services.token.assertion import (
    TYPE,
    Assertion,
    UnverifiedAssertion,
    read_assertion,
    verify_assertion,
)
from services.token.assertion_errors import (
    AssertionKeyError,
    AssertionMissingError,
    AssertionSignatureError,
    AssertionSubjectError,
    AssertionTypeError,
    ReplayedAssertionError,
)
from services.token.client_keys import ClientKeysUnavailableError
from services.token.clients import Client
from services.token.errors import (
    InvalidRequestError,
    UnavailableError,
    WrongSubjectError,
)
from services.token.form import TokenForm
from services.token.registry import Registry
from services.token.self_signed import check_registered
from services.token.subject import check_subject
from services.wire.peer import Presented

_REMEMBERED = 1024  # certificates with the names they were found to hold
_ASSERTIONS = "client assertion at the token service"


class Authentication:
    """The methods, over a registry of clients and a memory of assertions."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._named: set[tuple[SubjectMatch, str]] = set()

    async def authenticate(
        self,
        form: TokenForm,
        presented: Presented,
        *,
        issuer: str,
        now: datetime,
    ) -> Client:
        """Return the client that has sent `form`.

        Raises:
            InvalidClientError: it is not the client it names; the subclass says why.
            InvalidRequestError: it names none, or authenticates twice.
            UnavailableError: the client's keys cannot be had now.
            StateUnavailableError: whether an assertion is new cannot be said now.
        """
        assertion = _assertion(form)  # 1
        if assertion is None:
            client_id = form.required("client_id")
        else:
            client_id = _claimed(form, assertion)
        client = self._registry.clients.client(client_id)  # 2
        method = client.method
        if assertion is not None and not isinstance(method, PrivateKeyJwt):  # 3
            raise InvalidRequestError("an assertion beside the client's certificate")
        try:
            if isinstance(method, SubjectMatch):  # 4: the most frequent one first
                self._issued(client, presented, now)
            elif isinstance(method, PrivateKeyJwt):
                await self._signed(client_id, assertion, issuer=issuer, now=now)
            elif isinstance(method, SelfSigned):
                await check_registered(self._registry.keys_of(client_id), presented)
            else:
                self._issued(client, presented, now)
        except ClientKeysUnavailableError as error:
            raise UnavailableError(str(error)) from error
        return client

    def _issued(self, client: Client, presented: Presented, now: datetime) -> None:
        """Check a certificate that a CA vouches for."""
        method, issuers = client.method, self._registry.issuers
        if isinstance(method, SubjectMatch):
            issuers.check(presented, trust_domain=method.trust_domain, now=now)
            self._check_subject(method, presented)
            return
        named = presented.spiffe_id
        if named is None or str(named) != client.client_id:
            raise WrongSubjectError(f"certificate is for {named}")
        issuers.check(presented, trust_domain=named.trust_domain, now=now)

    def _check_subject(self, method: SubjectMatch, presented: Presented) -> None:
        """Compare once: neither a registered name nor a certificate ever changes."""
        known = method, presented.thumbprint
        if known in self._named:
            return
        check_subject(method, presented.certificate)
        if len(self._named) >= _REMEMBERED:
            self._named.clear()
        self._named.add(known)

    async def _signed(
        self,
        client_id: str,
        unverified: UnverifiedAssertion | None,
        *,
        issuer: str,
        now: datetime,
    ) -> None:
        """Check an assertion, and use it up."""
        if unverified is None:
            raise AssertionMissingError(f"{client_id!r} signs assertions; here is none")
        keys = self._registry.keys_of(client_id)

        def verified(among: tuple[RegisteredKey, ...]) -> Assertion:
            return verify_assertion(
                unverified, among, client_id=client_id, issuer=issuer, now=now
            )

        known = await keys.current()
        try:
            assertion = verified(known)
        except (AssertionKeyError, AssertionSignatureError):
            if (anew := await keys.refresh()) == known:
                raise
            assertion = verified(anew)
        used = f"{client_id} {assertion.token_id}"
        try:
            await self._store.claim(_ASSERTIONS, used, assertion.expires_at)
        except AlreadyClaimedError:
            raise ReplayedAssertionError(
                f"an assertion of {client_id!r} was used before"
            ) from None


def _assertion(form: TokenForm) -> UnverifiedAssertion | None:
    """Return the assertion of `form`, if there is one."""
    text = form.single.get("client_assertion")
    kind = form.single.get("client_assertion_type")
    if text is None and kind is None:
        return None
    if text is None or kind is None:
        raise InvalidRequestError("client_assertion and its type belong together")
    if kind != TYPE:
        raise AssertionTypeError("client_assertion_type is not that of a JWT")
    return read_assertion(text)


def _claimed(form: TokenForm, assertion: UnverifiedAssertion) -> str:
    """Return whose assertion this says to be, which `client_id` cannot contradict."""
    client_id = form.single.get("client_id", assertion.unverified_subject)
    if client_id != assertion.unverified_subject:
        raise AssertionSubjectError("client_id is not the assertion's subject")
    return client_id
