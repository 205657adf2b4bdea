"""The time: the only file that reads it.

Everything that decides takes `now` as an argument, so that a test can stand at any
moment. Certificates know whole seconds only (RFC 5280, section 4.1.2.5), so the
fraction is cut off here, once.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment in UTC, cut to whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
