"""The one root of everything `services` refuses.

The message is for the log of whoever refuses: it says what was wrong and what was
expected, and never holds a token or a key. `code` is for the caller: stable,
lower-case words, the same in every release, and nothing else of an error leaves the
process.
"""


class ServiceError(Exception):
    """Something is refused; the message says what and why."""

    code = "server_error"
