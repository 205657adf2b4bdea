"""Why a request that came through a proxy is refused (RFC 9440).

`wire.forwarded` answers and logs these; the parsers and `wire.hops` raise them. What
the proxy has done wrong is a 400 (431 if it is too much of it), who is not believed
gets a 403: the TLS connection that brought the request is the proxy's, so the caller
cannot be told by an alert, and there is no challenge that would help.
"""

from services.errors import ServiceError


class ForwardedError(ServiceError):
    """A forwarded request is refused; `status` and `description` are the answer."""

    code = "invalid_request"
    status = 400
    description = "the proxy did not forward the client certificate as agreed"


class MissingFieldError(ForwardedError):
    """A trusted hop forwarded a request and said nothing about its caller."""


class DuplicateFieldError(ForwardedError):
    """There are two values where one belongs: two fields, or a list in one."""


class MalformedFieldError(ForwardedError):
    """The value is not of its form, to the last character."""


class OversizeFieldError(ForwardedError):
    """The value is larger than any certificate that is believed (RFC 9440, 3.2)."""

    status = 431
    description = "the forwarded client certificate is too large"


class VariantFieldError(ForwardedError):
    """A name differs only in spelling: what some proxy let through from outside."""


class OtherFormError(ForwardedError):
    """The hop forwards in another form than was agreed with it."""


class ChainAloneError(ForwardedError):
    """A chain came without the certificate that it belongs to (RFC 9440, 2.3)."""


class LeafInChainError(ForwardedError):
    """The certificate itself stands in its chain (RFC 9440, 2.3)."""


class WrongHashError(ForwardedError):
    """The hash beside a certificate is that of another."""


class NotBelievedError(ForwardedError):
    """Whoever sent the request, or whoever it names as its caller, is not trusted."""

    code = "access_denied"
    status = 403
    description = "the client certificate is not trusted"


class UntrustedCallerError(NotBelievedError):
    """The forwarded certificate is not good by our own trust bundle, or not now."""


class NoHopError(NotBelievedError):
    """The connection has neither a certificate nor the secret of a trusted hop."""


class WrongSecretError(NotBelievedError):
    """A hop that must show a secret beside its certificate did not."""
