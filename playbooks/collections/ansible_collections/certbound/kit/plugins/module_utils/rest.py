"""Whether a host may rest: all on it is as the topology and the CA have it now.

Looks with the functions of those modules that would change it, so that one module run
can stand for theirs on a day on which nothing has changed. Unknown is no.
"""

from __future__ import annotations

import http.client
import os
import xmlrpc.client
from typing import Any, Iterator

from .configurations import is_configured
from .handshake import NotServedError, served_by
from .owner import NoSuchUserError, acting_as
from .releases import directory_of, present_target, target_of
from .supervision import not_as_wanted
from .supervisor import SupervisorError
from .systemd import change_to
from .witness import WitnessError, keep_witness

_UNKNOWN = (
    NoSuchUserError,
    NotServedError,
    OSError,
    SupervisorError,
    ValueError,  # what lies there is no text
    WitnessError,
    http.client.HTTPException,
    xmlrpc.client.Error,
)


def in_the_way(
    params: dict[str, Any], requested: list[dict[str, Any]], *, check: bool
) -> str | None:
    """Return the first thing that is not as it should be, or None.

    The newest head of the ledger is kept all the same: it is no change of the host.

    Args:
        params: those of the module `identity_request`.
        requested: what it answers for each identity.
        check: whether nothing may be written.
    """
    if not (params["supervised"] or params["units"]):
        return "it was not asked"
    try:
        found = next(_faults(params, requested), None)
        if found is None:
            keep_witness(params, check_only=check)
    except _UNKNOWN as error:
        return str(error) or type(error).__name__
    return found


def _faults(params: dict[str, Any], requested: list[dict[str, Any]]) -> Iterator[str]:
    processes = params["processes"]
    for one in requested:
        if one["changed"] or one["needs_issue"]:
            yield one["identity"]
    if params["checkpoint"] and os.path.exists(params["checkpoint"]):
        yield "an earlier run was broken off"
    if params["ledger_witness_replace"]:
        yield "the head of the ledger that is kept is to be replaced"
    yield from _configuration_faults(processes)
    if params["supervised"]:
        found = not_as_wanted({**params["supervised"], "processes": processes})
        yield from [found] if found else []
    if params["units"]:
        yield from _unit_faults(params["units"], processes)
    for _ in served_by(params["identities"], processes, 0):
        pass


def _configuration_faults(processes: list[dict[str, Any]]) -> Iterator[str]:
    for process in processes:
        with acting_as(process["owner"]):
            configured = is_configured(process)
        if not configured:
            yield process["config"]


def _unit_faults(
    units: dict[str, Any], processes: list[dict[str, Any]]
) -> Iterator[str]:
    change = change_to(processes, directory_of(units["releases"], units["digest"]))
    yield from sorted(change.touched | change.gone)
    if present_target(units["releases"]) != target_of(units["digest"]):
        yield "another release is the current one"
