"""Where revocations are told, and where a process learns of them: documents' members.

A sum that cannot work is refused here: what lies in a cache and between two questions
may not use up the time in which a revocation must be known everywhere.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from services.registration.terms import HttpUrl, Port

CACHED, POLL = 2.0, 1.0  # s: a list in a cache, and between two questions for it


class RevocationConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Where a process learns which certificates are revoked, and how soon."""

    url: HttpUrl  # what stands before /crl, as in the CA's policy
    bound: Annotated[float, Meta(le=3600)] = 5.0  # s; older knowledge is none

    def __post_init__(self) -> None:
        if self.bound <= CACHED + POLL:
            raise ValueError(
                f"bound: {CACHED:g} s in a cache and {POLL:g} s between two questions "
                f"leave nothing of {self.bound:g} s"
            )


class PublicationConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Where lists and answers about revocation are told to everybody, over HTTP."""

    port: Port  # at the address of the CA's front
    # What stands before /crl, /ocsp and /ca in the URLs of the CA's policy.
    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._-]+)*\Z")] = ""
