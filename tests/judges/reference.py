"""May this request enter? A second answer, slow and simple, to hold ours against.

Written from the RFCs with nothing of `services` and no JOSE library: what a request
must be at least. Where the guard refuses more, that is its choice; where it lets in
what this refuses, one of the two is wrong.

The steps of `Reference.admits` are numbered as one would explain them to somebody.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from requests.utils import unquote_unreserved

SKEW = 10  # seconds that a clock may be wrong (FAPI 2.0, section 5.3.2.1)
PROOF_LIFE = 60  # seconds
ALPHABET = re.compile(r"[A-Za-z0-9_-]+\Z")
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Request:
    """A request as it arrived on a connection with this certificate."""

    method: str
    url: str  # as the service is configured to be reached
    query: bytes
    headers: Headers
    certificate: bytes


@dataclass
class Reference:
    """What a service expects, and which proofs it has seen."""

    issuer: str
    audience: str
    trust_domain: str
    keys: Mapping[str, Mapping[str, str]]  # JWKs by key id
    nonces: frozenset[str]
    now: datetime
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def admits(self, request: Request) -> bool:
        """Return whether `request` may enter; whatever cannot be read may not."""
        with suppress(Exception):
            return self._admits(request)
        return False

    def _admits(self, request: Request) -> bool:
        # 1. One token, in one header, and nowhere else.
        (authorization,) = _values(request.headers, b"authorization")
        if any(name == "access_token" for name, _ in parse_qsl(request.query.decode())):
            return False
        scheme, token = authorization.decode("ascii").split()
        proofs = _values(request.headers, b"dpop")
        # 2. Its sender is a workload of this trust domain, whose time is not over.
        if not TOKEN.match(token) or not self._is_workload(request.certificate):
            return False
        # 3. The token service has signed it, as an access token, for this service.
        header, claims = _opened(token, self.keys)
        if not self._is_access_token(header, claims):
            return False
        # 4. It names one thing that its holder holds, and the sender holds that.
        ((method, value),) = claims["cnf"].items()
        if method == "x5t#S256":
            return (
                scheme.lower() == "bearer"
                and not proofs
                and value == _b64(hashlib.sha256(request.certificate).digest())
            )
        (proof,) = proofs
        return (
            method == "jkt"
            and scheme.lower() == "dpop"
            and self._proves(proof.decode("ascii"), request, token, value)
        )

    def _is_workload(self, der: bytes) -> bool:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.UniformResourceIdentifier)
        authority = certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        ).value.ca
        (name,) = names
        return (
            name.startswith(f"spiffe://{self.trust_domain}/")
            and not authority
            and certificate.not_valid_after_utc >= self.now
        )

    def _is_access_token(self, header: Any, claims: Any) -> bool:
        audience = claims["aud"]
        if isinstance(audience, list):
            (audience,) = audience
        now = self.now.timestamp()
        return (
            header["typ"].lower() in {"at+jwt", "application/at+jwt"}
            and claims["iss"] == self.issuer
            and audience == self.audience
            and _number(claims["exp"]) > now
            and _number(claims["iat"]) <= now + SKEW
            and _number(claims.get("nbf", 0)) <= now + SKEW
            and all(claims[name] for name in ("sub", "client_id", "jti"))
            and all(isinstance(claims[name], str) for name in ("sub", "client_id"))
        )

    def _proves(self, proof: str, request: Request, token: str, jkt: str) -> bool:
        header, claims = _opened(proof, None)
        thumbprint = _thumbprint(header["jwk"])
        now, made_at = self.now.timestamp(), _number(claims["iat"])
        fresh = (thumbprint, claims["jti"]) not in self._seen
        good = (
            header["typ"].lower() in {"dpop+jwt", "application/dpop+jwt"}
            and "d" not in header["jwk"]
            and thumbprint == jkt
            and claims["htm"] == request.method
            and _plain(claims["htu"]) == _plain(request.url)
            and claims["ath"] == _b64(hashlib.sha256(token.encode()).digest())
            and any(hmac.compare_digest(claims["nonce"], one) for one in self.nonces)
            and now - PROOF_LIFE <= made_at <= now + SKEW
            and isinstance(claims["jti"], str)
            and fresh
        )
        if good:
            self._seen.add((thumbprint, claims["jti"]))
        return good


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for field_name, value in headers if field_name.lower() == name]


def _opened(text: str, keys: Mapping[str, Mapping[str, str]] | None) -> tuple[Any, Any]:
    """Return header and claims of a JWS whose signature is good.

    The key is the one of `keys` that the header names, or the header's own.
    """
    parts = text.split(".")
    if len(parts) != 3 or not all(ALPHABET.match(part) for part in parts):
        raise ValueError("no JWS in compact form")
    header, claims = (_json(_octets(part)) for part in parts[:2])
    if "crit" in header:
        raise ValueError("something critical that nobody knows")
    jwk = header["jwk"] if keys is None else keys[header["kid"]]
    signed = f"{parts[0]}.{parts[1]}".encode()
    _verify(header["alg"], jwk, signed, _octets(parts[2]))
    return header, claims


def _verify(alg: str, jwk: Mapping[str, str], signed: bytes, signature: bytes) -> None:
    """Raise unless `jwk` has made the signature (RFC 7518, section 3; RFC 8037)."""
    match alg, jwk["kty"]:
        case "ES256", "EC" if jwk["crv"] == "P-256" and len(signature) == 64:
            x, y = (int.from_bytes(_octets(jwk[name])) for name in ("x", "y"))
            key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
        case "Ed25519", "OKP" if jwk["crv"] == "Ed25519":
            octets = _octets(jwk["x"])
            ed25519.Ed25519PublicKey.from_public_bytes(octets).verify(signature, signed)
        case "PS256", "RSA":
            n, e = (int.from_bytes(_octets(jwk[name])) for name in ("n", "e"))
            scheme = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
            rsa.RSAPublicNumbers(e, n).public_key().verify(
                signature, signed, scheme, SHA256()
            )
        case _:
            raise ValueError("an algorithm that is not taken, or not this key's")


def _thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of a public key (RFC 7638, section 3)."""
    members = {"EC": "crv kty x y", "OKP": "crv kty x", "RSA": "e kty n"}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members.split()}, sort_keys=True)
    return _b64(hashlib.sha256(text.replace(" ", "").encode()).digest())


def _plain(url: str) -> tuple[str, str, int, str]:
    """Return what counts of a URL (RFC 9449, section 4.3; RFC 3986, section 6.2)."""
    parts = urlsplit(unquote_unreserved(url))
    if parts.username is not None or parts.hostname is None:
        raise ValueError("no URL of ours")
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    path = urljoin("https://base/", parts.path).removeprefix("https://base")
    encoded = re.sub(r"%[0-9a-fA-F]{2}", lambda found: found[0].upper(), path)
    return parts.scheme, parts.hostname, port, encoded or "/"


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return float(value)


def _json(octets: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)

    return json.loads(octets.decode(), object_pairs_hook=once)


def _octets(part: str) -> bytes:
    octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _b64(octets) != part:
        raise ValueError("a second spelling")
    return octets


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
