"""Keys, requests and certificates by the `openssl` command (1.1.1 or later).

Targets have it, and need nothing else for that. No private key enters this process:
openssl writes it to its file and reads it from there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import ssl
import subprocess
from typing import Any, NamedTuple, Sequence

_PUBLIC_KEY = re.compile(
    r"-----BEGIN PUBLIC KEY-----(.+?)-----END PUBLIC KEY-----", re.DOTALL
)
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL
)
_ISSUER_KEY = re.compile(
    r"Authority Key Identifier:[^\n]*\n\s*(?:keyid:)?([0-9A-F]{2}(?::[0-9A-F]{2})*)"
)
_NAMES = re.compile(r"(DNS|URI):([^,\s]+)")
# Without the machine's own trust store. `x509` reads all of it, 30 ms a call, for
# nothing, and `verify` would take a chain that ends there for one of our roots.
_NO_STORE = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


class OpensslError(Exception):
    """The command is missing or refused its input; the message holds its last line."""


class Certificate(NamedTuple):
    """What is read from a certificate; nothing here has been verified."""

    serial: str  # lower-case hexadecimal without leading zeros
    not_before: int  # seconds since 1970
    not_after: int
    names: list[str]  # sorted, such as DNS:localhost
    spki_sha256: str
    issuer_key: str | None  # its identifier in lower-case hexadecimal


def names_of(identity: dict[str, Any]) -> list[str]:
    """Return the names that the certificate of `identity` must have, sorted."""
    dns_names = [f"DNS:{name}" for name in identity["dns_names"]]
    return sorted([f"URI:{identity['spiffe_id']}", *dns_names])


def make_key(path: str) -> None:
    """Write a new P-256 key to `path`, readable by its owner alone."""
    curve = "ec_paramgen_curve:P-256"
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", path)


def make_request(key: str, names: Sequence[str], path: str) -> None:
    """Write a request for `names`, with an empty subject, signed by the key."""
    # A configuration of our own: the system's could add a subject or extensions.
    configuration = (
        "[req]\nprompt = no\ndistinguished_name = subject\nreq_extensions = wanted\n"
        f"[subject]\n[wanted]\nsubjectAltName = critical,{','.join(names)}\n"
    )
    own = ("-config", "/dev/stdin", "-subj", "/", "-sha256")
    _openssl("req", "-new", *own, "-key", key, "-out", path, stdin=configuration)


def public_key_of_key(path: str) -> str:
    """Return the SHA-256 of the public key that belongs to the private key."""
    return _spki_sha256(_openssl("pkey", "-in", path, "-pubout"))


def read_request(path: str) -> list[str]:
    """Return the names a request asks for, after its self-signature was checked."""
    return _names(_openssl("req", "-in", path, "-verify", "-noout", "-text"))


def read_certificate(path: str) -> Certificate:
    """Return what the first certificate in the file says."""
    wanted = ("-noout", "-serial", "-dates", "-pubkey")
    extensions = ("-ext", "subjectAltName,authorityKeyIdentifier")
    text = _openssl("x509", "-in", path, *wanted, *extensions)
    issuer = _ISSUER_KEY.search(text)
    fields = dict(
        line.split("=", 1)
        for line in text.splitlines()
        if line.startswith(("serial=", "notBefore=", "notAfter="))
    )
    return Certificate(
        serial=f"{int(fields['serial'], 16):x}",
        # Not strptime: Ansible sets the locale, and month names follow it.
        not_before=int(ssl.cert_time_to_seconds(fields["notBefore"])),
        not_after=int(ssl.cert_time_to_seconds(fields["notAfter"])),
        names=_names(text),
        spki_sha256=_spki_sha256(text),
        issuer_key=issuer.group(1).replace(":", "").lower() if issuer else None,
    )


def verify_chain(certificate: str, bundle: str) -> None:
    """Return if the certificate's chain ends in a root of the bundle.

    Dates are left to the caller, who says more of them than "expired".

    Raises:
        OpensslError: it does not, or a certificate in it is not what it must be.
    """
    rules = ("-x509_strict", "-no_check_time", "-purpose", "sslserver")
    chain = ("-CAfile", bundle, "-untrusted", certificate, certificate)
    _openssl("verify", *rules, *chain)


def fingerprints(pem: str) -> list[str]:
    """Return the SHA-256 of each certificate in a text, in lower-case hexadecimal."""
    return [
        hashlib.sha256(base64.b64decode(block)).hexdigest()
        for block in _CERTIFICATE.findall(pem)
    ]


def _names(text: str) -> list[str]:
    return sorted(f"{kind}:{name}" for kind, name in _NAMES.findall(text))


def _spki_sha256(text: str) -> str:
    found = _PUBLIC_KEY.search(text)
    if not found:
        raise OpensslError("openssl printed no public key")
    return hashlib.sha256(base64.b64decode(found.group(1))).hexdigest()


def _openssl(*arguments: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(
            ["openssl", *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=dict(os.environ, **_NO_STORE),
        )
    except FileNotFoundError:
        raise OpensslError("there is no openssl command in PATH") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise OpensslError(f"openssl {arguments[0]}: {said[-1]}")
    return done.stdout
