"""Why the gateway does not pass a request on, or its answer back.

What is wrong with a token or its holder is in `services.guard.errors` and
`services.proof`, and is answered as a guard does. What an upstream did wrong is told to
the log; the caller learns that it was the upstream, and nothing of it.
"""

from datetime import timedelta

from services.errors import ServiceError


class GatewayError(ServiceError):
    """The request goes no further; `status` and `description` are the answer."""

    status = 400
    description = "the request is refused"


class PathError(GatewayError):
    """The path is no path, or two readers of it might not mean the same place."""

    code = "invalid_request"
    description = "the path is not in its plain form"


class NoRouteError(GatewayError):
    """No route begins like this path."""

    code = "not_found"
    status = 404
    description = "nothing is served under this path"


class TooManyTokensError(GatewayError):
    """The caller has brought too many tokens that are none (RFC 6585, section 4)."""

    code = "temporarily_unavailable"
    status = 429
    description = "too many tokens that are not active"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MethodError(GatewayError):
    """The method is none that is passed on: TRACE would tell the gateway's token."""

    code = "method_not_allowed"
    status = 405
    description = "this method is not passed on"


class RequestTooLargeError(GatewayError):
    """The body is longer than this gateway passes on."""

    code = "request_too_large"
    status = 413
    description = "the body is too large"


class SlowCallerError(GatewayError):
    """The body did not arrive in time."""

    code = "request_timeout"
    status = 408
    description = "the body did not arrive in time"


class CallerGoneError(GatewayError):
    """The caller hung up in the middle of the body: nobody will read this answer."""

    code = "invalid_request"
    description = "the body ended early"


class ExchangeRefusedError(GatewayError):
    """The token service gives this gateway no token for the upstream."""

    code = "exchange_refused"
    status = 502
    description = "the gateway may not call the upstream for this caller"


class UpstreamError(GatewayError):
    """The upstream cannot be reached, or is not who it should be."""

    code = "upstream_unavailable"
    status = 502
    description = "the upstream cannot be reached"


class UpstreamRefusalError(UpstreamError):
    """The upstream does not take the gateway's own credentials."""

    code = "upstream_refused"
    description = "the upstream refused the gateway"


class UpstreamAnswerError(UpstreamError):
    """The answer is larger than is passed back, or no answer."""

    code = "upstream_invalid"
    description = "the upstream's answer cannot be passed on"


class UpstreamTimeoutError(UpstreamError):
    """The upstream took too long."""

    code = "upstream_timeout"
    status = 504
    description = "the upstream did not answer in time"
