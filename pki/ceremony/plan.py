"""The script of a ceremony: what is done, in which order, by whom; read strictly.

A plan is written and read by people before they meet. It names each request by its
SHA-256, so that what is certified is what was agreed on. Steps:

    make-root    a root key, sealed under both passphrases, and its certificate
    update-root  a root that follows the one here, and the certificates that lead from
                 one to the other (RFC 9810, section 4.4)
    certify      the issuing CA that a request of the CA's host asks for
    revoke       the certificate of an issuing CA, or from one root to another
    list         the revocation list of every root here, for another year

What a plan does, the newest root does, unless the plan names another.
"""

import hashlib
import re
from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from pki.entry import Reason
from pki.errors import PkiError
from pki.identity import IdentityError, trust_domain_uri

_FORMAT = "certbound-ceremony-plan"
_VERSION = 1
_PEOPLE = 2
_Seconds = Annotated[int, Meta(ge=86_400, le=3_155_760_000)]
_Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}\Z")]
_File = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")]


class PlanError(PkiError):
    """The plan is wrong; the message names the member."""

    code = "invalid_plan"


class MakeRoot(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="make-root"
):
    """Make the root's key and certificate."""

    lifetime: _Seconds

    @property
    def life(self) -> timedelta:
        """How long the root lives."""
        return timedelta(seconds=self.lifetime)


class UpdateRoot(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="update-root"
):
    """Make a root that follows, and certify each of the two by the other."""

    lifetime: _Seconds
    new_with_old: _Seconds  # for whoever trusts the old root alone
    old_with_new: _Seconds  # for whoever trusts the new one alone

    @property
    def life(self) -> timedelta:
        """How long the new root lives."""
        return timedelta(seconds=self.lifetime)


class Certify(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="certify"):
    """Certify an issuing CA."""

    request: _File  # beside the plan
    sha256: _Hex  # of that file


class Revoke(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="revoke"):
    """Revoke the certificate of an issuing CA, or from one root to another."""

    serial: Annotated[str, Meta(pattern=r"^[0-9a-f]{1,40}\Z")]
    reason: Reason


class PublishList(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="list"):
    """Make the list of every root anew."""


Step = MakeRoot | UpdateRoot | Certify | Revoke | PublishList


class _Document(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    format: str
    version: int
    name: _Name
    trust_domain: str
    people: list[Annotated[str, Meta(min_length=2, max_length=80)]]
    steps: Annotated[list[Step], Meta(min_length=1)]
    root: _Hex | None = None


class Plan:
    """A plan that was read."""

    def __init__(self, text: bytes, document: _Document) -> None:
        self.text = text
        self.name = document.name
        self.trust_domain = document.trust_domain
        self.people = tuple(document.people)
        self.steps = tuple(document.steps)
        self.root = document.root  # SHA-256 of the certificate of the one that acts

    @property
    def sha256(self) -> str:
        """What tells it from every other plan: of the file as it is."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def run_id(self) -> str:
        """What the ledger files its entries under."""
        return f"ceremony {self.name}"


def read_plan(text: bytes) -> Plan:
    """Return the plan that the JSON document `text` states.

    Raises:
        PlanError: a member is missing, unknown or of a wrong form; two people are not
            named, or one is named twice; a root is made twice, or not first, or named
            before there is any.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PlanError(f"the plan: {error}") from error
    if (document.format, document.version) != (_FORMAT, _VERSION):
        raise PlanError(f"format, version: expected {_FORMAT!r}, {_VERSION}")
    try:
        trust_domain_uri(document.trust_domain)
    except IdentityError as error:
        raise PlanError(f"trust_domain: {error}") from error
    people = {re.sub(r"\s+", " ", name).strip().casefold() for name in document.people}
    if len(document.people) != _PEOPLE or len(people) != _PEOPLE:
        raise PlanError("people: expected the names of two")
    if any(isinstance(step, MakeRoot | UpdateRoot) for step in document.steps[1:]):
        raise PlanError("steps: make-root or update-root comes first, and once")
    if document.root and isinstance(document.steps[0], MakeRoot):
        raise PlanError("root: there is none before make-root")
    return Plan(text, document)
