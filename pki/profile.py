"""The kinds of certificate, as data: what all of one kind have in common.

`profiles` and `leaf` build by it. A second list of the same, made for finding its
mistakes, is in `lint`.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What all certificates of one kind have in common."""

    common_name: str | None  # after the trust domain; None: an empty subject
    ca: bool
    path_length: int | None
    key_usage: frozenset[str]
    extended_key_usage: tuple[x509.ObjectIdentifier, ...]

    @property
    def basic_constraints(self) -> x509.BasicConstraints:
        """Whether it is a CA, and how many may stand below it."""
        return x509.BasicConstraints(ca=self.ca, path_length=self.path_length)

    @property
    def usages(self) -> x509.KeyUsage:
        """What its key signs."""
        return x509.KeyUsage(**{name: name in self.key_usage for name in KEY_USAGES})


KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

ROOT = Profile(
    common_name="root CA",
    ca=True,
    path_length=None,
    key_usage=frozenset({"key_cert_sign", "crl_sign"}),
    extended_key_usage=(),
)
CROSS = Profile(
    common_name="root CA",
    ca=True,
    path_length=1,  # an issuing CA below it; a root certified twice counts no step
    key_usage=frozenset({"key_cert_sign", "crl_sign"}),
    extended_key_usage=(),
)
ISSUING_CA = Profile(
    common_name="issuing CA",
    ca=True,
    path_length=0,
    key_usage=frozenset({"key_cert_sign", "crl_sign"}),
    extended_key_usage=(),
)
SERVICE = Profile(
    common_name=None,
    ca=False,
    path_length=None,
    key_usage=frozenset({"digital_signature"}),
    extended_key_usage=(
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ),
)
RESPONDER = Profile(
    common_name="OCSP responder",
    ca=False,
    path_length=None,
    key_usage=frozenset({"digital_signature"}),
    extended_key_usage=(ExtendedKeyUsageOID.OCSP_SIGNING,),
)
