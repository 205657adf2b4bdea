"""Small ASGI applications that tell what the server gave them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def answer(send: Send, document: object) -> None:
    """Send `document` as JSON."""
    body = json.dumps(document).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def mirror(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer with what the scope says of the connection."""
    if scope["type"] != "http":
        return
    tls = scope["extensions"]["tls"]
    seen = {**tls, "client_cert": tls["client_cert"].hex()}
    seen["client"] = list(scope["client"])
    seen["scheme"] = scope["scheme"]
    tls["client_cert"] = b"changed by the application"
    await answer(send, seen)
