"""What no token service on this stack can do without: read a form, sign, answer.

python -m bench.servers.floor IDENTITY PORT

Nobody is authenticated, nothing is checked, counted or logged: what is between this
and the token service is what the token service does, and what is between this and
`hello` is what nobody can take away.
"""

import json
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from secrets import token_urlsafe
from time import time
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pki.identity import SpiffeId
from services.wire.generation import LiveIdentity
from services.wire.server import server

_KEY = ec.generate_private_key(ec.SECP256R1())
_LIFE = 300  # seconds


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _encoded(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "k"}).encode())


async def token(request: Request) -> Response:
    """Answer with a token for whatever was asked."""
    form = dict(parse_qsl((await request.body()).decode()))
    now = int(time())
    claims = {
        "iss": "https://localhost:8440",
        "aud": form["resource"],
        "sub": form["client_id"],
        "client_id": form["client_id"],
        "scope": form["scope"],
        "iat": now,
        "exp": now + _LIFE,
        "jti": token_urlsafe(16),
        "cnf": {"x5t#S256": "A" * 43},
    }
    text = f"{_HEADER}.{_encoded(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(_KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    signature = _encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    members = {"token_type": "Bearer", "expires_in": _LIFE, "scope": form["scope"]}
    return JSONResponse({"access_token": f"{text}.{signature}", **members})


def main(current: str, port: str) -> None:
    """Serve until told to stop."""
    identity = LiveIdentity(
        Path(current), SpiffeId.parse("spiffe://shop.internal/service/orders")
    )
    app = Starlette(routes=[Route("/token", token, methods=["POST"])])
    server(app, identity=identity, address="127.0.0.1", port=int(port)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
