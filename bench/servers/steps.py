"""What the floor of a token is made of: an answer, and then one thing more at a time.

python -m bench.servers.steps IDENTITY PORT STEP

No framework: ASGI on uvicorn as every service of ours runs it. STEP is `answer` (a
short one, the request's body unread), `body` (read), `token` (and as long an answer as
a token is) or `signature` (and signed by P-256): each does what those before it do.
"""

import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.types import ASGIApp, Receive, Scope, Send

from pki.identity import SpiffeId
from services.wire.generation import LiveIdentity
from services.wire.server import server

STEPS = ("answer", "body", "token", "signature")
_SHORT, _LONG = b'{"hello":"world"}', b"x" * 700
_SIGNED = bytes(500)


def app_of(step: str) -> ASGIApp:
    """Return the application that goes as far as `step`."""
    reached = STEPS.index(step)
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    answer = _LONG if reached >= STEPS.index("token") else _SHORT
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ],
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if reached >= STEPS.index("body"):
            while (await receive()).get("more_body"):
                pass
        if step == "signature":
            key.sign(_SIGNED, algorithm)
        await send(head)
        await send({"type": "http.response.body", "body": answer})

    return app


async def _live(receive: Receive, send: Send) -> None:
    for _ in ("startup", "shutdown"):
        told = await receive()
        await send({"type": f"{told['type']}.complete"})


def main(current: str, port: str, step: str) -> None:
    """Serve until told to stop."""
    identity = LiveIdentity(
        Path(current), SpiffeId.parse("spiffe://shop.internal/service/orders")
    )
    served = server(
        app_of(step), identity=identity, address="127.0.0.1", port=int(port)
    )
    served.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
