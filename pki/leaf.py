"""The certificate of a service, written octet by octet: there are many of them.

`profiles` says what is in it and comes here. The library's builder checks and copies
all that all of them have in common each time, which costs three times as much. Held to
the builder's octets by the tests, and by `lint`, which shares nothing with this file.
"""

from datetime import datetime
from functools import lru_cache
from hashlib import sha1

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki import der
from pki.identity import Names
from pki.pointers import Pointers
from pki.profile import SERVICE
from pki.unsigned import ALGORITHM, Unsigned

_VERSION_3 = bytes.fromhex("a003020102")
_NO_SUBJECT = der.value(der.SEQUENCE)
_EXTENSIONS = 0xA3  # [3] EXPLICIT
_DNS_NAME, _URI = 0x82, 0x86  # [2] and [6] IMPLICIT IA5String of a GeneralName
_POINT = 65  # octets of a point on P-256 as it stands in a key, uncompressed
# id-ce is 2.5.29 (RFC 5280, section 4.2.1), id-pe 1.3.6.1.5.5.7.1 (section 4.2.2).
_SUBJECT_KEY_IDENTIFIER = bytes.fromhex(
    "301d0603551d0e04160414"
)  # its 20 octets follow
_KEY_USAGE = bytes.fromhex("0603551d0f")
_ALTERNATIVE_NAME = bytes.fromhex("0603551d11")
_BASIC_CONSTRAINTS = bytes.fromhex("0603551d13")
_DISTRIBUTION_POINTS = bytes.fromhex("0603551d1f")
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")
_EXTENDED_KEY_USAGE = bytes.fromhex("0603551d25")
_INFORMATION_ACCESS = bytes.fromhex("06082b06010505070101")

_BEFORE_KEYS = der.extension(
    _BASIC_CONSTRAINTS, SERVICE.basic_constraints.public_bytes(), critical=True
) + der.extension(_KEY_USAGE, SERVICE.usages.public_bytes(), critical=True)
_AFTER_KEYS = der.extension(
    _EXTENDED_KEY_USAGE,
    x509.ExtendedKeyUsage(SERVICE.extended_key_usage).public_bytes(),
    critical=False,
)


def write(  # noqa: PLR0913 - each is told apart by its name
    key: ec.EllipticCurvePublicKey,
    *,
    serial: int,
    names: Names,
    issuer: x509.Certificate,
    begins: datetime,
    ends: datetime,
    pointers: Pointers | None,
) -> Unsigned:
    """Return the certificate of a service with a key on P-256."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name, authority = _of(issuer)
    extensions = (
        _BEFORE_KEYS,
        _SUBJECT_KEY_IDENTIFIER + _identifier(spki),
        authority,
        _AFTER_KEYS,
        _told(pointers) if pointers else b"",
        # Critical because the subject is empty (RFC 5280, section 4.2.1.6).
        der.extension(_ALTERNATIVE_NAME, _alternative(names), critical=True),
    )
    return Unsigned(
        der.value(
            der.SEQUENCE,
            _VERSION_3,
            der.integer(serial),
            ALGORITHM,
            name,
            _life(begins, ends),
            _NO_SUBJECT,
            spki,
            der.value(_EXTENSIONS, der.value(der.SEQUENCE, *extensions)),
        )
    )


@lru_cache(maxsize=16)  # of the few issuers that there are
def _of(issuer: x509.Certificate) -> tuple[bytes, bytes]:
    """Return what an issuer gives to all that it signs: its name, its key."""
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return issuer.subject.public_bytes(), der.extension(
        _AUTHORITY_KEY_IDENTIFIER, by.public_bytes(), critical=False
    )


@lru_cache(maxsize=64)  # a batch has one moment and few lifetimes
def _life(begins: datetime, ends: datetime) -> bytes:
    return der.value(der.SEQUENCE, der.moment(begins), der.moment(ends))


@lru_cache(maxsize=1024)  # as many as there may be shards
def _told(pointers: Pointers) -> bytes:
    lists, access = pointers.as_extensions()
    return der.extension(
        _DISTRIBUTION_POINTS, lists.public_bytes(), critical=False
    ) + der.extension(_INFORMATION_ACCESS, access.public_bytes(), critical=False)


def _identifier(spki: bytes) -> bytes:
    """Return SHA-1 of the bits of a key (RFC 5280, section 4.2.1.2, method 1)."""
    return sha1(spki[-_POINT:], usedforsecurity=False).digest()


def _alternative(names: Names) -> bytes:
    return der.value(
        der.SEQUENCE,
        *[der.value(_DNS_NAME, name.text.encode("ascii")) for name in names.dns_names],
        der.value(_URI, str(names.spiffe_id).encode("ascii")),
    )
