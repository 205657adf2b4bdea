"""Name the certificate that a request came with, whether or not it is good: for logs.

A refusal's line names the serial even where the refusal is of the certificate itself.
Nothing is decided by it: who the peer is, `wire.peer` says.
"""

from collections.abc import Mapping
from typing import Any

from cryptography import x509


def presented_serial(scope: Mapping[str, Any]) -> str | None:
    """Return the serial in hex as the ledger has it, None if there is none to read."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    try:
        certificate = x509.load_der_x509_certificate(tls.get("client_cert") or b"")
    except ValueError:
        return None
    return format(certificate.serial_number, "x")
