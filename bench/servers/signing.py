"""A renewal with nothing but its two signatures: what no CA's front can be faster than.

python -m bench.servers.signing IDENTITY PORT

The request is read and its proof checked, a certificate of our profile is signed and
sent. There is no ledger, no policy, no question who asks and whether it may.
"""

import sys
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pki import clock, profiles
from pki.identity import SpiffeId, names_of
from services.wire.generation import LiveIdentity
from services.wire.server import server


def main(current: str, port: str) -> None:
    """Serve until told to stop."""
    name = SpiffeId.parse("spiffe://shop.internal/service/orders")
    identity = LiveIdentity(Path(current), name)
    chain = identity.current().certificate_path.read_bytes()
    own, issuer = x509.load_pem_x509_certificates(chain)
    names, key = names_of(own), ec.generate_private_key(ec.SECP256R1())

    async def sign(request: Request) -> Response:
        wanted = x509.load_der_x509_csr(b64decode(await request.body()))
        public = wanted.public_key()
        assert wanted.is_signature_valid
        assert isinstance(public, ec.EllipticCurvePublicKey)
        now = clock.utc_now()
        builder = profiles.service(
            public,
            names=names,
            issuer=issuer,
            lifetime=own.not_valid_after_utc - now,
            now=now,
        )
        made = builder.sign(key, hashes.SHA256())
        told = pkcs7.serialize_certificates([made], Encoding.DER)
        return Response(b64encode(told))

    app = Starlette(routes=[Route("/{path:path}", sign, methods=["POST"])])
    server(app, identity=identity, address="127.0.0.1", port=int(port)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
