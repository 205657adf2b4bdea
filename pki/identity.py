"""The name of a service: a SPIFFE ID and DNS names, as values that cannot be wrong.

A SPIFFE ID says who a service is; DNS names say where it is reached. Both come from
the topology, never from a certificate request. Rules: SPIFFE-ID.md sections 2.1 to
2.3, X509-SVID.md sections 2 and 3, RFC 5280 section 4.2.1.6.

Nothing here proves that somebody *is* the service named: that takes a verified chain
(`pki.trust`, or TLS itself) and a proof of possession.
"""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from pki.errors import PkiError

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_ID = 2048  # bytes (SPIFFE-ID.md, section 2.3)
_LONGEST_DNS_NAME = 253  # bytes (RFC 1035, section 2.3.4, without the length octets)
_SCHEME = "spiffe://"


class IdentityError(PkiError):
    """A name is malformed, or a certificate does not hold exactly one."""

    code = "invalid_identity"


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A workload's name, such as `spiffe://shop.internal/service/orders`.

    Two IDs are the same if and only if their texts are: there is no normal form to
    reach, because every other spelling is refused.
    """

    trust_domain: str
    path: str

    def __post_init__(self) -> None:
        if not _TRUST_DOMAIN.fullmatch(self.trust_domain):
            raise IdentityError(f"{self.trust_domain!r} is no SPIFFE trust domain")
        root, *segments = self.path.split("/")
        if root or not segments:
            raise IdentityError(f"SPIFFE path {self.path!r} does not begin with /")
        for segment in segments:
            if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
                raise IdentityError(f"{segment!r} is no segment of a SPIFFE path")
        if len(str(self)) > _LONGEST_ID:
            raise IdentityError(f"SPIFFE ID longer than {_LONGEST_ID} bytes")

    @classmethod
    def parse(cls, text: str) -> "SpiffeId":
        """Read the URI form of a workload's ID, which always has a path.

        Raises:
            IdentityError: another scheme, a user, port, query, fragment, upper-case
                trust domain, percent-encoding, empty or dotted segment, or no path.
        """
        if not text.startswith(_SCHEME):
            raise IdentityError(f"{text!r} does not begin with {_SCHEME}")
        trust_domain, slash, path = text.removeprefix(_SCHEME).partition("/")
        return cls(trust_domain, slash + path)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"


@dataclass(frozen=True, slots=True)
class DnsName:
    """A host name as a certificate may carry it: lower-case labels, no wildcard."""

    text: str

    def __post_init__(self) -> None:
        labels = self.text.split(".")
        if len(self.text) > _LONGEST_DNS_NAME or not all(
            _LABEL.fullmatch(label) for label in labels
        ):
            raise IdentityError(f"{self.text!r} is no lower-case DNS name")

    def lies_within(self, domain: "DnsName") -> bool:
        """Return whether a name constraint on `domain` permits this name."""
        return self == domain or self.text.endswith(f".{domain.text}")

    def __str__(self) -> str:
        return self.text


def spiffe_id_of(certificate: x509.Certificate) -> SpiffeId:
    """Return the one SPIFFE ID that `certificate` claims (X509-SVID.md, section 2).

    Raises:
        IdentityError: there is no URI name, more than one, or it is no SPIFFE ID.
    """
    try:
        names = certificate.extensions.get_extension_for_oid(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        ).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise IdentityError(f"no readable subject alternative name: {error}") from error
    if not isinstance(names, x509.SubjectAlternativeName):  # pragma: no cover
        raise IdentityError("subject alternative name of an unknown form")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise IdentityError(f"certificate has {len(uris)} URI names, one is needed")
    return SpiffeId.parse(uris[0])
