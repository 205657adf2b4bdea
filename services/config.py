"""The configuration documents of the processes, read strictly.

The roll-out derives each from the topology and writes it whole; a process reads its own
and reads it again when it changes. Unknown members, wrong types and impossible values
are refused with the path of the member and what was expected, so that a mistake cannot
leave a check switched off.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pki.errors import PkiError
from pki.identity import SpiffeId
from services import fapi2
from services.errors import ServiceError
from services.federation_config import (
    Callee,
    FederatedDomain,
    TokenServiceAddress,
    check_callees,
    check_federation,
)
from services.rates import Rate, Rates
from services.registration.client import ClientConfig, check_trust_domains
from services.registration.terms import Port, Scope, Scopes, Text, Url
from services.revocation_config import PublicationConfig, RevocationConfig


class ConfigError(ServiceError):
    """A configuration document cannot be used; the message says where and why."""


class GuardConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """What a resource service demands of a token."""

    audience: Url
    resource: Text
    scopes: Scopes
    bearer_clients: list[Text]  # clients whose unbound tokens are taken, by name
    # The roots by which callers reach this service: what a DPoP proof may be made for.
    # None: no DPoP-bound token is taken.
    origins: list[Url] = []


class TrustedHop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proxy that ends TLS in front of this process, and how it is recognised."""

    form: Literal["client-cert", "xfcc"]  # how it forwards the caller's certificate
    spiffe_id: Text | None = None
    secret: Path | None = None  # a file that only its owner may read
    # Whose certificate its tokens are bound to: "hop" is for a gateway.
    binding: Literal["caller", "hop"] = "caller"

    def __post_init__(self) -> None:
        if self.spiffe_id is None and self.secret is None:
            raise ValueError("a trusted hop needs a spiffe_id, a secret or both")
        if self.spiffe_id is None and self.binding == "hop":
            raise ValueError("binding: a hop without a spiffe_id can bind no token")
        if self.spiffe_id is not None:
            _check_spiffe_id(self.spiffe_id)


Grace = Annotated[int, Meta(ge=0, le=366 * 86400)]  # seconds; 0: none


class RenewalConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Where a process renews its own certificate, and how patiently."""

    url: Url  # that EST's operations follow, such as https://ca:8450/.well-known/est
    spiffe_id: Text  # whom to meet there
    patience: Annotated[float, Meta(gt=0, le=60)] = 10.0  # s: an answer, the live port
    first_pause: Annotated[float, Meta(gt=0, le=3600)] = 10.0  # s, after a failure;
    longest_pause: Annotated[float, Meta(gt=0, le=86400)] = 900.0  # doubled up to this
    grace: Grace = 0  # how long an expired certificate is still tried with

    def __post_init__(self) -> None:
        _check_spiffe_id(self.spiffe_id)
        if self.first_pause > self.longest_pause:
            raise ValueError(
                f"first_pause: {self.first_pause:g} s is longer than longest_pause of "
                f"{self.longest_pause:g} s"
            )


class _Process(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every process of ours needs: a name, an address and an identity."""

    service: Text
    instance: Text
    trust_domain: Text
    spiffe_id: Text
    address: Text
    port: Port
    identity: Path  # the symlink to the current generation
    profile: Literal["oauth2", "fapi2"] = "oauth2"  # the latter as in `services.fapi2`
    tls_minimum: Literal["1.2", "1.3"] = "1.3"
    state: Path | None = None  # a directory of its own, for what it makes itself
    store: Text | None = None  # a URL as in `services.state.open`; None: in `state`
    store_password: Path | None = None  # a file with it, where the URL has none
    monitors: tuple[Text, ...] = ()  # SPIFFE IDs that may read its metrics
    trusted_hops: tuple[TrustedHop, ...] = ()  # none: the connection says who calls
    federation: dict[Text, FederatedDomain] = {}  # other trust domains
    renewal: RenewalConfig | None = None  # None: the roll-out alone renews
    revocation: RevocationConfig | None = None  # None: no revocation is heard of

    def __post_init__(self) -> None:
        ip_address(self.address)
        if self.store is None and self.store_password is not None:
            raise ValueError("store_password: expected a store beside it")
        for name in (self.spiffe_id, *self.monitors):
            _check_spiffe_id(name)
        named = [hop.spiffe_id for hop in self.trusted_hops if hop.spiffe_id]
        if len(set(named)) != len(named):
            raise ValueError(f"trusted_hops: one spiffe_id twice in {named}")
        foreign = [name for name in named if not self._is_of_the_domain(name)]
        if foreign:
            raise ValueError(f"trusted_hops: {foreign} not of {self.trust_domain}")
        check_federation(self.trust_domain, self.federation)

    def _is_of_the_domain(self, name: str) -> bool:
        return SpiffeId.parse(name).trust_domain == self.trust_domain


class ServiceConfig(
    _Process, frozen=True, kw_only=True, tag="service", tag_field="kind"
):
    """A resource service of the topology."""

    app: Text  # module:factory
    client_id: Text
    token_service: TokenServiceAddress
    guard: GuardConfig
    calls: dict[Text, Callee]
    binding: Literal["certificate", "dpop"] = "certificate"  # of its own tokens

    def __post_init__(self) -> None:
        super().__post_init__()
        check_callees(self.trust_domain, self.federation, self.calls.values())
        if self.profile == "fapi2":
            revocations = self.token_service.revocations_uri
            fapi2.check_resource(self.guard.bearer_clients, revocations)


class Replica(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another process of the token service, whose public keys are published too."""

    jwks_uri: Url
    spiffe_id: Text

    def __post_init__(self) -> None:
        _check_spiffe_id(self.spiffe_id)


class TokenServiceConfig(
    _Process, frozen=True, kw_only=True, tag="token-service", tag_field="kind"
):
    """The token service and everything it may issue."""

    issuer: Url
    state: Path
    clients: dict[Text, ClientConfig]
    replicas: list[Replica] = []
    # Roots of further trust domains whose certificates may be clients', in PEM files;
    # those of our own are the identity's.
    trust_bundles: dict[Text, Path] = {}
    # A signing key signs for so many seconds, and is published so many before. Guards
    # believe a key set for ten minutes, and a cache may add five.
    key_rotation: Annotated[int, Meta(ge=7200)] = 30 * 86400
    key_lead: Annotated[int, Meta(ge=900)] = 3600
    mtls_base: Url | None = None  # where clients reach it over mutual TLS, if elsewhere
    rates: Rates = Rates()  # of each client and certificate, at this process

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key_lead >= self.key_rotation:
            raise ValueError(
                f"key_lead: a key that is published {self.key_lead} s before it signs "
                f"leaves nothing of the {self.key_rotation} s of key_rotation that the "
                "one before it does"
            )
        if self.profile == "fapi2":
            fapi2.check_clients(self.clients)
        others = *self.trust_bundles, *self.federation
        check_trust_domains(self.trust_domain, others, self.clients)


class Upstream(Callee, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gateway leads to: `scopes` the caller must have, and are asked for."""

    # Asked for as well if the caller has them.
    optional_scopes: list[Scope] = []  # noqa: RUF012 - msgspec copies it


Prefix = Annotated[str, Meta(pattern=r"^/(\w[\w.~-]*(/\w[\w.~-]*)*)?\Z")]
Bytes = Annotated[int, Meta(ge=0)]


class GatewayConfig(
    _Process, frozen=True, kw_only=True, tag="gateway", tag_field="kind"
):
    """A gateway at the edge: it takes tokens for itself, and calls with its own."""

    client_id: Text
    token_service: TokenServiceAddress
    audience: Url  # what tokens must be for to be taken
    routes: Annotated[dict[Prefix, Upstream], Meta(min_length=1)]
    origins: list[Url] = []  # as in a guard
    # How many tokens that are none each caller may bring, by certificate.
    inactive_tokens: Rate = Rate(per_second=10, burst=100)
    longest_request: Bytes = 10 * 1024 * 1024  # bytes of a body
    longest_answer: Bytes = 100 * 1024 * 1024
    patience: Annotated[float, Meta(gt=0, le=3600)] = 30.0  # seconds for an exchange

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token_service.introspection_endpoint is None:
            raise ValueError("token_service: a gateway needs introspection_endpoint")
        check_callees(self.trust_domain, {}, self.routes.values())  # none abroad


class EnrolmentConfig(
    _Process, frozen=True, kw_only=True, tag="enrolment", tag_field="kind"
):
    """The CA's front: it renews the certificate that a caller has (RFC 7030)."""

    ca: Path  # the directory of `python -m pki`
    issuing_passphrase: Path  # a private file, or a credential of systemd
    label: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,64}\Z")] | None = None
    rate: Rate = Rate(per_second=1 / 60, burst=10)  # of each identity
    waiting: Annotated[int, Meta(ge=1, le=10_000)] = 64  # requests for the CA's key
    publication: PublicationConfig | None = None  # None: nothing is published here
    bundle_port: Port | None = None  # of a SPIFFE bundle endpoint; None: none
    grace: Grace = 0  # how long after its end a certificate still renews itself

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trusted_hops:
            raise ValueError("trusted_hops: who renews must hold its key here, itself")
        if self.publication is not None and self.publication.port == self.port:
            raise ValueError("publication: expected another port than the front's own")


ProcessConfig = ServiceConfig | TokenServiceConfig | GatewayConfig | EnrolmentConfig


def _check_spiffe_id(text: str) -> None:
    """Check a name when it is read: the first call would be too late to refuse it."""
    try:
        SpiffeId.parse(text)
    except PkiError as error:
        # msgspec adds the place in the document to a ValueError alone.
        raise ValueError(f"spiffe_id: {error}") from error


def _decode_path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str) and Path(value).is_absolute():
        return Path(value)
    raise ValueError(f"expected an absolute path, got {value!r}")


_DECODER: msgspec.json.Decoder[ProcessConfig] = msgspec.json.Decoder(
    ProcessConfig, dec_hook=_decode_path
)


def read_config(path: Path) -> ProcessConfig:
    """Read the document at `path`.

    Raises:
        ConfigError: it is missing, no JSON, or not what a process needs; the message
            names the file, the member and what was expected.
    """
    try:
        return _DECODER.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
