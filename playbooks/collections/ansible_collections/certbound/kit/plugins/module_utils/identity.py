"""The files of one identity on its host, and whether its certificate will still do.

    identity/pending/{key.pem,request.pem}   between request and installation
    identity/generations/<serial>/{key.pem,certificate.pem,bundle.pem}
    identity/current -> generations/<serial>

A generation is written in `pending` and renamed as a whole, so that a key is moved and
never copied, and a power cut leaves a generation or none.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Sequence

from .openssl import (
    Certificate,
    OpensslError,
    fingerprints,
    names_of,
    public_key_of_key,
    read_certificate,
    verify_chain,
)


class Paths(NamedTuple):
    """Where the parts of an identity lie, given the instance's directory."""

    directory: str

    @property
    def identity(self) -> str:
        """The directory of keys and certificates."""
        return os.path.join(self.directory, "identity")

    @property
    def pending(self) -> str:
        """What waits for the CA's answer."""
        return os.path.join(self.identity, "pending")

    @property
    def generations(self) -> str:
        """What was installed, the last few of it."""
        return os.path.join(self.identity, "generations")

    @property
    def current(self) -> str:
        """The symlink to the generation in use."""
        return os.path.join(self.identity, "current")


class Wanted(NamedTuple):
    """What the CA says that certificates should be now; nothing if it was not asked."""

    roots: Sequence[str] = ()  # SHA-256 of each root that hosts should trust
    issuer: str | None = None  # the identifier of the key that signs
    issued_after: int | None = None  # what begins before is to be replaced


class Present(NamedTuple):
    """The generation in use, as far as it can be read."""

    certificate: Certificate | None
    fault: str | None  # why it cannot stay, or None


def moment(seconds: int) -> str:
    """Return a time as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def examine(
    identity: dict[str, Any],
    paths: Paths,
    *,
    renew_before: int,
    wanted: Wanted,
    now: int | None = None,
) -> Present:
    """Return the present certificate, and the reason to replace it if there is one."""
    if not os.path.isdir(paths.current):
        return Present(None, "no certificate yet")
    file = os.path.join(paths.current, "certificate.pem")
    bundle = os.path.join(paths.current, "bundle.pem")
    key = os.path.join(paths.current, "key.pem")
    try:
        certificate = read_certificate(file)
    except OpensslError as error:
        return Present(None, f"unreadable certificate ({error})")
    try:
        if certificate.spki_sha256 != public_key_of_key(key):
            return Present(certificate, "the certificate is not of the key beside it")
        verify_chain(file, bundle)
        with open(bundle, encoding="utf-8") as text:
            roots = fingerprints(text.read())
    except (OpensslError, OSError) as error:
        return Present(certificate, f"broken generation ({error})")
    return Present(
        certificate,
        _rotated(certificate, roots, wanted)
        or _outdated(certificate, identity, renew_before, now or int(time.time())),
    )


def _rotated(certificate: Certificate, roots: list[str], wanted: Wanted) -> str | None:
    """Return why a certificate does not fit the CA as it is now, or None."""
    if wanted.roots and not set(wanted.roots) & set(roots):
        return "issued under a root that the CA no longer has"
    if wanted.roots and set(wanted.roots) != set(roots):
        return "the trust bundle beside it is not the present one"
    if wanted.issuer and wanted.issuer != certificate.issuer_key:
        return "issued by another key than the CA's present one"
    if wanted.issued_after and certificate.not_before < wanted.issued_after:
        return f"issued before {moment(wanted.issued_after)}"
    return None


def _outdated(
    certificate: Certificate, identity: dict[str, Any], renew_before: int, now: int
) -> str | None:
    """Return why a sound certificate is due, or None."""
    if certificate.names != names_of(identity):
        differing = set(names_of(identity)) ^ set(certificate.names)
        return f"other names than in the topology ({', '.join(sorted(differing))})"
    if certificate.not_before > now:
        return f"not valid before {moment(certificate.not_before)}"
    if certificate.not_after <= now:
        return f"expired at {moment(certificate.not_after)}"
    if certificate.not_after - now < renew_before:
        limit = timedelta(seconds=renew_before)
        return f"less than {limit} left, it ends at {moment(certificate.not_after)}"
    if certificate.not_after - certificate.not_before > identity["lifetime"]:
        return "lives longer than the topology allows"
    return None
