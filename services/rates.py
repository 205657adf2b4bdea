"""How often something may be done: a part of the configuration documents.

The defaults are what one process of the token service can answer at most, so that they
hold back who would take all of it, and nobody else.
"""

from typing import Annotated

import msgspec
from msgspec import Meta


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many a second in the long run, and so many at once after a rest."""

    per_second: Annotated[float, Meta(gt=0, le=1e6)]
    burst: Annotated[int, Meta(ge=1, le=1_000_000)]


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each client, and each certificate, may ask of one token service process."""

    token: Rate = Rate(per_second=100, burst=500)
    introspection: Rate = Rate(per_second=500, burst=1000)  # a question a request
    revocation: Rate = Rate(per_second=100, burst=500)
