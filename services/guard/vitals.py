"""What a guarded service needs: the key set, the list of void tokens, its own state.

A look asks the token service where what is there has become old, no more often than
`proof.key_set` and `revocations` would for a request.
"""

from collections.abc import Sequence

from services import metrics
from services.guard.replays import Replays
from services.guard.revocations import RevocationList, RevocationsUnknownError
from services.guard.workload import Workload
from services.operations.vitals import Part
from services.proof.key_set import KeySetUnavailableError, RemoteKeySet
from services.state.store import StateUnavailableError


class ServiceVitals:
    """The parts of a guarded service, but for its identity."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    async def parts(self) -> Sequence[Part]:
        """Return whether tokens can be checked, wholly."""
        found = [await _key_set(self._workload.keys)]
        if self._workload.revocations is not None:
            found.append(await _revocations(self._workload.revocations))
        if self._workload.replays is not None:
            found.append(await _store(self._workload.replays))
        return found


async def _key_set(keys: RemoteKeySet) -> Part:
    try:
        metrics.known_keys(await keys.keys())
    except KeySetUnavailableError:
        return Part("key_set", up=False, age=keys.age)
    return Part("key_set", up=True, age=keys.age)


async def _revocations(revocations: RevocationList) -> Part:
    try:
        age = await revocations.age()
    except RevocationsUnknownError:
        return Part("revocations", up=False)
    return Part("revocations", up=True, age=age)


async def _store(replays: Replays) -> Part:
    try:
        await replays.store.ping()
    except StateUnavailableError:
        return Part("store", up=False)
    return Part("store", up=True)
