"""The body of a request: of the right kind, and no longer than an honest one."""

from starlette.requests import ClientDisconnect, Request

from services.enrolment.errors import CutOffError, MediaTypeError, TooLargeError


async def read_body(request: Request, *, kind: str, longest: int) -> bytes:
    """Return the whole body, or stop reading where no honest request would go on.

    Raises:
        MediaTypeError: it is said to be something else than `kind`.
        TooLargeError: it has more than `longest` bytes.
        CutOffError: it does not come to its end.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != kind:
        raise MediaTypeError(f"content type {said[:100]!r}", expected=kind)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > longest:
                raise TooLargeError(f"body longer than {longest} bytes")
    except ClientDisconnect:
        raise CutOffError("the caller hung up before the end") from None
    return bytes(body)
