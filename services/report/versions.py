"""What has made a report: the versions that people ask for first."""

import ssl
import sys
from importlib.metadata import version


def versions(ansible: str = "") -> dict[str, str]:
    """Return the version of each part; `ansible` is known to the roll-out alone."""
    found = {
        "certbound": version("certbound"),
        "Python": ".".join(map(str, sys.version_info[:3])),
        "OpenSSL": ssl.OPENSSL_VERSION.removeprefix("OpenSSL "),
    }
    return found | ({"ansible-core": ansible} if ansible else {})
