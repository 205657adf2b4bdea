"""Run one process of the topology: token service, gateway, service, the CA's front.

The configuration document says which. This is where the rooms are wired together, in
the order of the drawing: identity, application, server. Only what its kind needs is
loaded: a start costs little else, and what signs is in no process that does not.
"""

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pki.clock import utc_now
from pki.identity import SpiffeId
from services import log
from services.config import (
    ConfigError,
    EnrolmentConfig,
    GatewayConfig,
    ProcessConfig,
    ServiceConfig,
    TokenServiceConfig,
    read_config,
)
from services.following import following
from services.openapi import DOCUMENT
from services.operations.app import Operations
from services.operations.vitals import IdentityVitals, Vitals
from services.renewal.task import renewing
from services.watched import Watched, file_stamp
from services.wire.anchors import NO_ANCHORS, Anchors
from services.wire.checked import CheckedCertificate
from services.wire.federation import Federation
from services.wire.forwarded import ForwardedCertificate
from services.wire.generation import LiveIdentity
from services.wire.grace import NO_GRACE
from services.wire.hops import Hop
from services.wire.server import server
from services.wire.status import CertificateStatus

if TYPE_CHECKING:
    from services.guard.workload import Workload


def serve(path: Path) -> None:
    """Serve what the document at `path` describes until the process is told to stop.

    Raises:
        ConfigError: the document, or the application it names, cannot be used.
        GenerationError: the identity cannot be used.
        HopError: the secret of a trusted hop cannot be used.
        AddressError: another process listens on the port.
    """
    config = read_config(path)
    made = _made(path, config)
    hops = Watched(lambda: _hops(path), file_stamp(path), name=f"{path}: trusted_hops")
    listening = server(
        _around(made, hops.current, path),
        identity=made.identity,
        address=config.address,
        port=config.port,
        tls_minimum=config.tls_minimum,
        demand_certificate=not any(hop.is_nameless for hop in hops.current()),
        anchors=made.anchors,
        grace=made.grace,
    )
    # uvicorn finishes what is under way and then raises the signal again for whoever
    # had it before: a process told to stop has not failed.
    signal.signal(signal.SIGTERM, _stop)
    log.event("process.started", instance=config.instance, port=listening.port)
    try:
        with (
            made.beside(),
            renewing(
                Watched(
                    lambda: read_config(path), file_stamp(path), name=f"{path}: renewal"
                ),
                _identity(config),
            ),
            following(
                Watched(
                    lambda: read_config(path), file_stamp(path), name=f"{path}: bundles"
                )
            ),
        ):
            listening.run()
    finally:
        log.event("process.stopped", instance=config.instance)


def _stop(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


@dataclass(frozen=True, slots=True)
class _Made:
    """What one kind of process is made of."""

    app: ASGIApp
    identity: LiveIdentity
    status: CertificateStatus
    vitals: Vitals | None = None  # beside its identity
    anchors: Anchors = NO_ANCHORS
    others: Federation | None = None  # trust domains that callers may be of
    grace: timedelta = NO_GRACE
    describe: Callable[[], dict[str, Any]] | None = None
    beside: Callable[[], AbstractContextManager[object]] = nullcontext  # it runs


def _made(path: Path, config: ProcessConfig) -> _Made:
    """Return what a document describes, whatever kind it is of."""
    if isinstance(config, TokenServiceConfig):
        return _token_service(path, config)
    if isinstance(config, GatewayConfig):
        return _gateway(path)
    if isinstance(config, EnrolmentConfig):
        return _enrolment(path, config)
    return _resource_service(path, config)


def _around(made: _Made, hops: Callable[[], tuple[Hop, ...]], path: Path) -> ASGIApp:
    """Return the application behind the layers that every process has.

    Certificates are looked up first of all: each further layer asks who the peer is.
    """
    config = Watched(
        lambda: read_config(path), file_stamp(path), name=f"{path}: monitors"
    )
    forwarded = ForwardedCertificate(
        made.app, identity=made.identity, hops=hops, status=made.status
    )
    operated = Operations(
        forwarded,
        identity=made.identity,
        vitals=IdentityVitals(made.identity, utc_now, made.vitals, made.status),
        monitors=lambda: config.current().monitors,
        documents={DOCUMENT: made.describe} if made.describe else None,
    )
    return CheckedCertificate(
        operated,
        status=made.status,
        trust_domain=made.identity.expected.trust_domain,
        others=made.others,
    )


def _gateway(path: Path) -> _Made:
    from services.gateway.app import create_app  # noqa: PLC0415 - see above, as below
    from services.gateway.gateway import Gateway  # noqa: PLC0415
    from services.gateway.vitals import GatewayVitals  # noqa: PLC0415

    gateway = Gateway.load(path)
    return _Made(
        create_app(gateway),
        gateway.identity,
        gateway.status,
        GatewayVitals(gateway),
    )


def _token_service(path: Path, first: TokenServiceConfig) -> _Made:
    from services.description import description  # noqa: PLC0415
    from services.token.app import create_app  # noqa: PLC0415
    from services.token.registry import Registry  # noqa: PLC0415
    from services.token.siblings import Sibling  # noqa: PLC0415

    def read() -> TokenServiceConfig:
        config = read_config(path)
        if not isinstance(config, TokenServiceConfig):
            raise ConfigError(f"{path}: kind is not 'token-service'")
        return config

    config = Watched(read, file_stamp(path), name=str(path))
    identity = _identity(first)
    status = CertificateStatus(lambda: config.current().revocation)
    siblings = tuple(
        Sibling(replica, identity, utc_now, status) for replica in first.replicas
    )
    registry = Registry(config, identity)
    app = create_app(config, registry=registry, siblings=siblings)
    return _Made(
        app,
        identity,
        status,
        app.state.vitals,
        registry,
        Federation(lambda: config.current().federation),
        describe=lambda: description(config.current()),
    )


def _enrolment(path: Path, first: EnrolmentConfig) -> _Made:
    from services.enrolment.app import create_app as create_front  # noqa: PLC0415
    from services.enrolment.bundle import telling  # noqa: PLC0415
    from services.enrolment.publishing import publishing  # noqa: PLC0415

    def read() -> EnrolmentConfig:
        config = read_config(path)
        if not isinstance(config, EnrolmentConfig):
            raise ConfigError(f"{path}: kind is not 'enrolment'")
        return config

    config = Watched(read, file_stamp(path), name=str(path))
    app, identity = create_front(config), _identity(first)

    @contextmanager
    def beside() -> Iterator[None]:
        with publishing(first), telling(first, identity):
            yield

    return _Made(
        app,
        identity,
        CertificateStatus(lambda: config.current().revocation),
        app.state.vitals,
        grace=timedelta(seconds=first.grace),
        beside=beside,
    )


def _resource_service(path: Path, first: ServiceConfig) -> _Made:
    from services.guard.vitals import ServiceVitals  # noqa: PLC0415
    from services.guard.workload import Workload  # noqa: PLC0415

    workload = Workload.load(path)
    app = closing(_factory(first.app)(workload), workload)
    return _Made(
        app,
        workload.identity,
        workload.status,
        ServiceVitals(workload),
        anchors=workload.federation,
        others=workload.federation,
    )


def closing(app: ASGIApp, workload: "Workload") -> ASGIApp:
    """Return `app` so that its workload's connections are closed when it stops."""

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await workload.aclose()
            await send(message)

        await app(scope, receive, watch if scope["type"] == "lifespan" else send)

    return closed


def _hops(path: Path) -> tuple[Hop, ...]:
    return tuple(
        Hop.load(
            hop.form,
            spiffe_id=SpiffeId.parse(hop.spiffe_id) if hop.spiffe_id else None,
            secret=hop.secret,
            binding=hop.binding,
        )
        for hop in read_config(path).trusted_hops
    )


def _identity(config: ProcessConfig) -> LiveIdentity:
    return LiveIdentity(config.identity, SpiffeId.parse(config.spiffe_id))


def _factory(name: str) -> Callable[["Workload"], ASGIApp]:
    """Return the function that `module:function` names."""
    module, _, function = name.partition(":")
    try:
        factory: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"app {name!r}: {error}") from error
    return factory  # type: ignore[no-any-return]  # the application's own promise
