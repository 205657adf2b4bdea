"""Why a certificate was not renewed this time."""

from datetime import timedelta

from services.errors import ServiceError


class RenewalError(ServiceError):
    """A try has failed; the certificate that is there stays."""

    code = "renewal_failed"
    retry_after = timedelta(0)  # what the CA asks for


class AuthorityAwayError(RenewalError):
    """The CA does not answer, or not as who it should be."""


class AuthorityBusyError(RenewalError):
    """The CA asks to come back later."""

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(RenewalError):
    """The CA refuses; asking again will not help before a roll-out has."""


class UsedKeyError(RenewalError):
    """The key that waited has a certificate already, which was followed by another.

    It is dropped: the next try brings a new one.
    """


class UnreadableAnswerError(RenewalError):
    """The CA's answer is not what EST says."""


class WrongKeyError(RenewalError):
    """The certificate is not of the key that was made for it."""


class WrongNamesError(RenewalError):
    """The certificate is for others than the present one."""


class UntrustedAnswerError(RenewalError):
    """No path leads from the certificate to the bundle of this host."""


class StorageError(RenewalError):
    """The new generation cannot be written."""


class OvertakenError(RenewalError):
    """Somebody else has put another generation in place meanwhile."""


class NotServedError(RenewalError):
    """The process does not present the new certificate: the old one is back."""


class ExpiredError(RenewalError):
    """The certificate is over, so nothing vouches for this host: it needs a play."""
