"""One line of the log a decision: who asked for what, and what became of it.

Members of every such line, None where it is not known:

- `event`: what was asked, and what became of it in a word (`token.issued`);
- `outcome`: `granted` or `refused`;
- `client_id`: whom the caller says it is, and is where the line says `granted`;
- `peer`, `certificate`: the name in its certificate, and the serial under which the
  CA's ledger has it;
- `cause`, `code`, `reason`: of a refusal the class, what the caller was told, and what
  it was not told.

What is issued, refused, told about and revoked is at `info` and above. What a guard
lets in is at `debug`, which no process of ours shows: there would be a line for each
request to each service, the application's own log says what was done, and
`token.issued` who could. `services.log` keeps line ends, tokens and keys out of
whatever stands in a value.
"""

from logging import INFO, WARNING

from services import log
from services.errors import ServiceError

GRANTED, REFUSED = "granted", "refused"


def granted(
    event: str,
    *,
    client_id: str,
    peer: object,
    serial: int,
    level: int = INFO,
    **details: object,
) -> None:
    """Log that a caller got what it asked for."""
    log.event(
        event,
        level=level,
        outcome=GRANTED,
        client_id=client_id,
        peer=peer,
        certificate=format(serial, "x"),
        **details,
    )


def refused(
    event: str,
    refusal: ServiceError,
    *,
    client_id: str | None,
    peer: object,
    certificate: str | None,
    **details: object,
) -> None:
    """Log that a caller was refused, and why."""
    log.event(
        event,
        level=WARNING,
        outcome=REFUSED,
        client_id=client_id,
        peer=peer,
        certificate=certificate,
        cause=type(refusal).__name__,
        code=refusal.code,
        reason=refusal,
        **details,
    )
