"""Ask the live port what it presents, as a caller would: by a real handshake.

The new certificate is the caller's too, so that one connection shows both sides of it:
the process presents it, and admits it.
"""

from ipaddress import ip_address

import httpx
from cryptography import x509

from services.wire.generation import Generation
from services.wire.tls import client_context

_PATH = "/healthz"  # answered by every process, before anything else


def presented(
    generation: Generation, *, address: str, port: int, patience: float
) -> int | None:
    """Return the serial that is presented on `port`, None if nobody answers.

    Args:
        generation: with which to ask; the answer must be of the same name.
        address: that the process listens on, maybe all there are.
        port: the port.
        patience: seconds.
    """
    names = generation.certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.DNSName)
    extensions = {"sni_hostname": names[0]}
    try:
        context = client_context(generation, generation.spiffe_id)
        with (
            httpx.Client(verify=context, timeout=patience, trust_env=False) as client,
            client.stream(
                "GET",
                f"https://{_reachable(address)}:{port}{_PATH}",
                extensions=extensions,
            ) as answer,
        ):
            tls = answer.extensions["network_stream"].get_extra_info("socket")
            der = tls.getpeercert(binary_form=True)
    except (httpx.HTTPError, OSError):
        return None
    return x509.load_der_x509_certificate(der).serial_number


def _reachable(address: str) -> str:
    """Return where a process is reached that listens on `address`."""
    where = ip_address(address)
    if where.is_unspecified:
        return "[::1]" if where.version == 6 else "127.0.0.1"  # noqa: PLR2004 - IPv6
    return f"[{where}]" if where.version == 6 else str(where)  # noqa: PLR2004
