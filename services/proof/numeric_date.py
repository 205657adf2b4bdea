"""Read a NumericDate: seconds since 1970 in UTC (RFC 7519, section 2).

Called for every time that a JWT holds. Whether the moment is near enough to now is for
the caller to say.
"""

from datetime import UTC, datetime


def moment(value: object) -> datetime:
    """Return the moment that the JSON value `value` stands for.

    Raises:
        ValueError: it is no number, or no date that a clock could show.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number of seconds")  # noqa: TRY004 - of JSON, not of ours
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise ValueError("no date") from None
