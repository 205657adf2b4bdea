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

from pki.errors import PkiError

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_ID = 2048  # bytes (SPIFFE-ID.md, section 2.3)
_LONGEST_DNS_NAME = 253  # bytes (RFC 1035, section 2.3.4, without the length octets)
_SCHEME = "spiffe://"
_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,  # x400Address and EDIPartyName
)


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
        trust_domain_uri(self.trust_domain)
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


@dataclass(frozen=True, slots=True)
class Names:
    """All names of one service on one host: its one SPIFFE ID and its DNS names."""

    spiffe_id: SpiffeId
    dns_names: tuple[DnsName, ...]

    def __post_init__(self) -> None:
        if not self.dns_names:
            raise IdentityError(f"{self.spiffe_id} has no DNS name")
        if len(set(self.dns_names)) != len(self.dns_names):
            raise IdentityError(f"{self.spiffe_id} has one DNS name twice")

    def as_general_names(self) -> list[x509.GeneralName]:
        """Return the names in the order a certificate lists them: DNS, then URI."""
        return [
            *(x509.DNSName(name.text) for name in self.dns_names),
            x509.UniformResourceIdentifier(str(self.spiffe_id)),
        ]


def trust_domain_uri(trust_domain: str) -> str:
    """Return the ID of a trust domain itself, which has no path.

    Certification authorities carry it (X509-SVID.md, section 3.2), workloads never.

    Raises:
        IdentityError: `trust_domain` is malformed.
    """
    if not _TRUST_DOMAIN.fullmatch(trust_domain):
        raise IdentityError(f"{trust_domain!r} is no SPIFFE trust domain")
    return _SCHEME + trust_domain


def names_of(certificate: x509.Certificate) -> Names:
    """Return every name that `certificate` claims: one SPIFFE ID and DNS names.

    Raises:
        IdentityError: not exactly one SPIFFE ID, no DNS name, one of them malformed,
            or a name of another kind.
    """
    claimed = _alternative_names(certificate)
    spiffe_id = _spiffe_id_in(claimed)
    others = [
        name for name in claimed if type(name) is not x509.UniformResourceIdentifier
    ]
    if any(type(name) is not x509.DNSName for name in others):
        raise IdentityError("certificate has names that are neither DNS nor SPIFFE")
    return Names(spiffe_id, tuple([DnsName(name.value) for name in others]))


def spiffe_id_of(certificate: x509.Certificate) -> SpiffeId:
    """Return the one SPIFFE ID that `certificate` claims (X509-SVID.md, section 2).

    Raises:
        IdentityError: there is no URI name, more than one, or it is no SPIFFE ID.
    """
    return _spiffe_id_in(_alternative_names(certificate))


def _spiffe_id_in(claimed: x509.SubjectAlternativeName) -> SpiffeId:
    # No isinstance(): names are of an abstract class, and this is asked all the time.
    uris = [n.value for n in claimed if type(n) is x509.UniformResourceIdentifier]
    if len(uris) != 1:
        raise IdentityError(f"certificate has {len(uris)} URI names, one is needed")
    return SpiffeId.parse(uris[0])


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    # No isinstance() here either: the library's own look-up asks with it.
    try:
        for extension in certificate.extensions:
            if type(extension.value) is x509.SubjectAlternativeName:
                return extension.value
    except _UNREADABLE as error:
        raise IdentityError(f"no readable subject alternative name: {error}") from error
    raise IdentityError("no readable subject alternative name: there is none")
