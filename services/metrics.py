"""What this process counts, for Prometheus.

Every room counts here as it logs with `log.event`; `operations` shows the sums. Labels
are words of ours, never what a caller sent: a label value costs memory for as long as
the process runs.

    certbound_requests_total{endpoint,outcome,code}   of the token service
    certbound_request_seconds{endpoint}               how long they took
    certbound_tokens_issued_total{grant,binding}
    certbound_guard_decisions_total{outcome,reason}   reason: the class of the refusal
    certbound_guard_seconds                           how long a decision took
    certbound_up{part}                                1 or 0, as `/readyz` found it
    certbound_age_seconds{part}                       of the key set, the revocations
    certbound_certificate_not_after_seconds           when the certificate ends
    certbound_renewal_age_seconds                     since the last good renewal
    certbound_renewals_total{outcome,reason}          tries of this process, by class
    certbound_published_until_seconds{by}             end of the list that ends first
    certbound_publications_total{outcome,reason}      looks at what is due, by class
    certbound_outdated_total{what}                    asked for after it had run out
    certbound_distrusted_total{of,reason}             certificates: revoked, unknown
    certbound_known_key{key_id}                       1 for each key of the key set
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from time import perf_counter
from typing import Self

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from services.tally import Decisions, moment

CONTENT_TYPE = CONTENT_TYPE_LATEST
ANSWERED, REFUSED, FAILED = "answered", "refused", "failed"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A second series for each, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
_registry = CollectorRegistry()
ProcessCollector(registry=_registry)
_requests = Counter(
    "certbound_requests",
    "Requests to the token service, by what became of them.",
    ["endpoint", "outcome", "code"],
    registry=_registry,
)
_request_seconds = Histogram(
    "certbound_request_seconds",
    "Time from a request to its answer.",
    ["endpoint"],
    buckets=SECONDS,
    registry=_registry,
)
_issued = Counter(
    "certbound_tokens_issued",
    "Access tokens issued.",
    ["grant", "binding"],
    registry=_registry,
)
# Looked up once for each set of labels, all of which are words of ours.
_requests_of = cache(_requests.labels)
_seconds_of = cache(_request_seconds.labels)
_issued_of = cache(_issued.labels)

_decisions = Decisions("certbound_guard", SECONDS, ANSWERED)
_registry.register(_decisions)
_up = Gauge(
    "certbound_up", "Whether a part is as it must be.", ["part"], registry=_registry
)
_age = Gauge(
    "certbound_age_seconds", "How old a part is.", ["part"], registry=_registry
)
_not_after = Gauge(
    "certbound_certificate_not_after_seconds",
    "When the present certificate ends, in seconds since 1970.",
    registry=_registry,
)
_renewal_age = Gauge(
    "certbound_renewal_age_seconds",
    "How long ago the present certificate was issued.",
    registry=_registry,
)
_renewals = Counter(
    "certbound_renewals",
    "Tries to renew the certificate, by the failure's class.",
    ["outcome", "reason"],
    registry=_registry,
)
_published_until = Gauge(
    "certbound_published_until_seconds",
    "When the first of the revocation lists ends, in seconds since 1970.",
    ["by"],
    registry=_registry,
)
_publications = Counter(
    "certbound_publications",
    "Looks at what is due of lists and answers, by the failure's class.",
    ["outcome", "reason"],
    registry=_registry,
)
_outdated = Counter(
    "certbound_outdated",
    "Lists and answers that were asked for after they had run out.",
    ["what"],
    registry=_registry,
)
_distrusted = Counter(
    "certbound_distrusted",
    "Certificates that were revoked, or whose status was unknown, by whose and class.",
    ["of", "reason"],
    registry=_registry,
)
_known_key = Gauge(
    "certbound_known_key",
    "The token service's keys, as this process knows them now.",
    ["key_id"],
    registry=_registry,
)


class Request:
    """Counts and times one request to the token service, as a context.

    It has failed until its answer is known.
    """

    __slots__ = ("_began", "_endpoint", "code", "outcome")

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.outcome = FAILED
        self.code = "server_error"

    def __enter__(self) -> Self:
        """Begin to count the time."""
        self._began = perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        """Count the request, however it ended."""
        _seconds_of(self._endpoint).observe(perf_counter() - self._began)
        _requests_of(self._endpoint, self.outcome, self.code).inc()

    def answer(self, status: int, code: str = "") -> None:
        """Note the answer: its HTTP status, and the error code in it."""
        self.code = code
        self.outcome = ANSWERED if status < 400 else REFUSED  # noqa: PLR2004 - HTTP's


def request(endpoint: str) -> Request:
    """Return what counts one request to the token service."""
    return Request(endpoint)


def issued(*, grant: str, binding: str) -> None:
    """Count an access token."""
    _issued_of(grant, binding).inc()


class guarding:  # noqa: N801 - it is used as a function
    """Time one decision of a guard or a gateway."""

    __slots__ = ("_began",)

    def __enter__(self) -> None:
        self._began = clock()

    def __exit__(self, *_raised: object) -> None:
        guarded(self._began)


# Count how long a decision took that began at a moment of `clock`, whatever it was; and
# in the same step a request that was let in.
clock, guarded, let_in = moment, _decisions.time, _decisions.let_in


def accepted() -> None:
    """Count a request that was let in."""
    _decisions.count(ANSWERED)


def refused(refusal: Exception) -> None:
    """Count a request that was refused."""
    _decisions.count(REFUSED, type(refusal).__name__)


def part(name: str, *, up: bool, age: timedelta | None) -> None:
    """Note how a part of this process is."""
    _up.labels(name).set(up)
    if age is not None:
        _age.labels(name).set(age.total_seconds())


def certificate(*, not_after: datetime, age: timedelta) -> None:
    """Note how the present certificate is."""
    _not_after.set(not_after.timestamp())
    _renewal_age.set(age.total_seconds())


def renewed() -> None:
    """Count a certificate that is renewed, and served."""
    _renewals.labels(ANSWERED, "").inc()


def not_renewed(failure: Exception) -> None:
    """Count a try that failed."""
    _renewals.labels(FAILED, type(failure).__name__).inc()


def published(ends: Mapping[str, datetime]) -> None:
    """Count a look at what is due, and note when the lists end, by who signs them."""
    _publications.labels(ANSWERED, "").inc()
    for by, end in ends.items():
        _published_until.labels(by).set(end.timestamp())


def not_published(failure: Exception) -> None:
    """Count a look that failed."""
    _publications.labels(FAILED, type(failure).__name__).inc()


def outdated(what: str) -> None:
    """Count a request for what has run out."""
    _outdated.labels(what).inc()


def distrusted(of: str, error: Exception) -> None:
    """Count a certificate, a caller's or a callee's, that could not be relied on."""
    _distrusted.labels(of, type(error).__name__).inc()


def known_keys(key_ids: Iterable[str]) -> None:
    """Note which keys tokens are checked with; those before are forgotten."""
    _known_key.clear()
    for key_id in key_ids:
        _known_key.labels(key_id).set(1)


def exposition() -> bytes:
    """Return everything in Prometheus' text format."""
    return generate_latest(_registry)


def value(name: str, **labels: str) -> float:
    """Return one number as it would be shown, 0 if nothing was counted yet."""
    return _registry.get_sample_value(name, labels) or 0.0
