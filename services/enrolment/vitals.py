"""What the CA's front needs: the ledger, and the key of the issuing CA."""

from collections.abc import Sequence

from services.enrolment.errors import UnavailableError
from services.enrolment.office import Office, Renewed, Wish
from services.enrolment.queue import Queue
from services.operations.vitals import Part

_WAITING = 1000  # of which this is one: a look must not be refused before a renewal


class EnrolmentVitals:
    """The one part of an enrolment process, but for its identity."""

    def __init__(self, office: Office, queue: Queue[Wish, Renewed]) -> None:
        self._office = office
        self._queue = queue

    async def parts(self) -> Sequence[Part]:
        """Return whether the CA could sign now."""
        try:
            await self._queue.do(self._office.open, most=_WAITING)
        except UnavailableError:
            return [Part("authority", up=False)]
        return [Part("authority", up=True)]
