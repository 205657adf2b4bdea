"""The one root of everything `pki` refuses.

The message is for the person who reads the log or the command's output: it says what
was wrong and what was expected, and never holds a key or a passphrase. `code` is for
programs: stable, lower-case words, the same in every release.
"""

from collections.abc import Mapping


class PkiError(Exception):
    """Something is refused; the message says what and why."""

    code = "refused"
    details: Mapping[str, object] = {}  # what else a program is told, if anything
