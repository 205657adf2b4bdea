"""Where a certificate says that its revocation is told (RFC 5280, 4.2.1.13, 4.2.2.1).

`policy` states the addresses, `profiles` writes them into certificates, `revocation`
into the lists, and `revocation_list` compares the two, byte for byte.

All of them begin with http, not https: who checks the certificate of a TLS server
cannot be asked to check that of another one first (RFC 5280, section 8). What is
fetched there is signed.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from pki.errors import PkiError

_URL = re.compile(r"http://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._-]+)*")
_MOST_SHARDS = 1024
_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class PointerError(PkiError):
    """A certificate's pointers are not what can be followed, or an address is none."""

    code = "bad_pointers"


@dataclass(frozen=True, slots=True)
class Pointers:
    """What one certificate says of its revocation."""

    crl: str
    ocsp: str
    ca_issuers: str

    def as_extensions(self) -> tuple[x509.ExtensionType, ...]:
        """Return the two extensions; neither is critical."""
        return (
            x509.CRLDistributionPoints([distribution_point(self.crl)]),
            x509.AuthorityInformationAccess(
                [
                    x509.AccessDescription(Access.OCSP, _uri(self.ocsp)),
                    x509.AccessDescription(Access.CA_ISSUERS, _uri(self.ca_issuers)),
                ]
            ),
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a CA's revocations are told, and over how many lists they are spread."""

    url: str
    shards: int

    def __post_init__(self) -> None:
        if not _URL.fullmatch(self.url):
            raise PointerError(
                f"{self.url!r} is no address of the form http://host:port/path "
                "without a slash at its end"
            )
        if not 1 <= self.shards <= _MOST_SHARDS:
            raise PointerError(
                f"{self.shards} shards, 1 to {_MOST_SHARDS} are possible"
            )

    def shard_of(self, serial: int) -> str:
        """Return the scope of the list that has `serial`, should it be revoked."""
        return str(serial % self.shards)

    def crl(self, authority: str, scope: str) -> str:
        """Return where the list of one scope is; `authority` is the CA key's own."""
        return f"{self.url}/crl/{authority}/{scope}.crl"

    def pointers(self, authority: str, serial: int) -> Pointers:
        """Return what the certificate with this serial says."""
        return Pointers(
            crl=self.crl(authority, self.shard_of(serial)),
            ocsp=f"{self.url}/ocsp",
            ca_issuers=f"{self.url}/ca/{authority}.cer",
        )


def distribution_point(*names: str) -> x509.DistributionPoint:
    """Return the point that has these names, any of which will do."""
    return x509.DistributionPoint(
        full_name=[_uri(name) for name in names],
        relative_name=None,
        reasons=None,
        crl_issuer=None,
    )


def pointers_of(certificate: x509.Certificate) -> Pointers | None:
    """Return what `certificate` says of its revocation, None if it says nothing.

    Raises:
        PointerError: not exactly one list, one OCSP responder and one place of the
            issuer's certificate, all of them http, and nothing else.
    """
    try:
        extensions = certificate.extensions
    except _UNREADABLE as error:
        raise PointerError(f"extensions are unreadable: {error}") from error
    points = access = None
    for extension in extensions:
        value = extension.value
        # No isinstance(): these are abstract classes, and this is asked all the time.
        if type(value) is x509.CRLDistributionPoints:
            points = value
        elif type(value) is x509.AuthorityInformationAccess:
            access = value
    if points is None and access is None:
        return None
    if points is None or access is None:
        raise PointerError("a list without a responder, or the other way round")
    return Pointers(_list_of(points), *_places_of(access))


def names_of_point(names: object) -> tuple[str, ...]:
    """Return the URIs of a distribution point's full name.

    Raises:
        PointerError: there are none, or one is no http URI.
    """
    listed = names if isinstance(names, list) else []
    found = tuple(
        name.value
        for name in listed
        if isinstance(name, x509.UniformResourceIdentifier)
    )
    if not found or len(found) != len(listed):
        raise PointerError("a distribution point has a name that is no URI, or none")
    if not all(name.startswith("http://") for name in found):
        raise PointerError(f"not http: {', '.join(found)}")
    return found


@lru_cache(maxsize=64)  # of the few issuers that there are
def authority_of(issuer: x509.Certificate) -> str:
    """Return the key identifier of a CA in hex: one for each generation of its key."""
    return issuer.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    ).value.digest.hex()


def signer_of(certificate: x509.Certificate) -> str | None:
    """Return the key identifier, in hex, that a certificate names as its signer's."""
    try:
        signer = certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return None
    return signer.hex() if signer else None


def _list_of(points: x509.CRLDistributionPoints) -> str:
    listed = list(points)
    if len(listed) != 1 or listed[0].reasons or listed[0].crl_issuer:
        raise PointerError("not one distribution point for all reasons")
    names = names_of_point(listed[0].full_name)
    if len(names) != 1:
        raise PointerError(f"{len(names)} names of one list")
    return names[0]


def _places_of(access: x509.AuthorityInformationAccess) -> tuple[str, str]:
    described = {item.access_method: item.access_location for item in access}
    if len(list(access)) != len(described) or set(described) != {
        Access.OCSP,
        Access.CA_ISSUERS,
    }:
        raise PointerError("not one responder and one place of the issuer")
    ocsp = names_of_point([described[Access.OCSP]])
    issuers = names_of_point([described[Access.CA_ISSUERS]])
    return ocsp[0], issuers[0]


def _uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)
