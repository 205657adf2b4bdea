"""Make a certificate the current one of its identity, or leave everything as it was.

Called by the module `identity_install`. What is checked here, by the host itself, is
that the CA's answer fits the host's key and the topology. Whether a process takes it up
is for the probe to see.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from .files import (
    ensure_private_directory,
    swap_symlink,
    sync_directory,
    write_private,
)
from .identity import Paths
from .openssl import (
    Certificate,
    OpensslError,
    names_of,
    public_key_of_key,
    read_certificate,
    verify_chain,
)


class NotInstalledError(Exception):
    """A certificate failed a check; what was in place stays in place."""


def install(
    identity: dict[str, Any], verdict: dict[str, Any], bundle: str, *, keep: int
) -> Certificate:
    """Make the certificate of `verdict` the identity's current one.

    1. Write it and the bundle beside the key it was made for.
    2. Check it: key, chain, names, dates.
    3. Rename the directory to a generation: key and certificate in one step.
    4. Swap the symlink. 5. Drop the oldest generations.

    Raises:
        NotInstalledError: step 2 failed.
    """
    paths = Paths(identity["directory"])
    if not os.path.exists(os.path.join(paths.pending, "key.pem")):
        raise NotInstalledError("there is no key that waits for a certificate")
    write_private(
        os.path.join(paths.pending, "certificate.pem"), verdict["certificate"]
    )
    write_private(os.path.join(paths.pending, "bundle.pem"), bundle)
    certificate = check_pending(identity, paths)
    request = os.path.join(paths.pending, "request.pem")
    if os.path.exists(request):
        os.unlink(request)
    ensure_private_directory(paths.generations)
    generation = os.path.join(paths.generations, certificate.serial)
    if os.path.isdir(generation):
        raise NotInstalledError(f"generation {certificate.serial} exists already")
    os.rename(paths.pending, generation)
    sync_directory(paths.generations)
    swap_symlink(paths.current, os.path.join("generations", certificate.serial))
    drop_old(paths, keep=keep)
    return certificate


def check_pending(identity: dict[str, Any], paths: Paths) -> Certificate:
    """Return the waiting certificate, having checked all that can be checked here."""
    file = os.path.join(paths.pending, "certificate.pem")
    certificate = read_certificate(file)
    key = os.path.join(paths.pending, "key.pem")
    if certificate.spki_sha256 != public_key_of_key(key):
        raise NotInstalledError("the certificate is not of the key that waits for it")
    verify_chain(file, os.path.join(paths.pending, "bundle.pem"))
    if certificate.names != names_of(identity):
        raise NotInstalledError(
            f"the certificate is for {', '.join(certificate.names)}, "
            f"expected {', '.join(names_of(identity))}"
        )
    now = int(time.time())
    if not certificate.not_before <= now < certificate.not_after:
        raise NotInstalledError("the certificate is not valid now by this host's clock")
    return certificate


def drop_old(paths: Paths, *, keep: int) -> None:
    """Delete all but the current generation and the `keep` newest before it."""
    current = os.path.basename(os.path.realpath(paths.current))
    old = [
        os.path.join(paths.generations, name)
        for name in os.listdir(paths.generations)
        if name != current
    ]
    for directory in sorted(old, key=os.path.getmtime, reverse=True)[keep:]:
        shutil.rmtree(directory)


def current_serial(identity: dict[str, Any]) -> str | None:
    """Return the serial of the certificate in place, or None."""
    try:
        current = Paths(identity["directory"]).current
        return read_certificate(os.path.join(current, "certificate.pem")).serial
    except OpensslError:
        return None
