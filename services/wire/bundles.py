"""The trust bundle of another trust domain, as young as its file.

`wire.federation` and `token.issuers` hold one for each domain. A file that is missing,
unreadable or another domain's is an empty bundle: nothing of that domain is trusted,
and nobody else is harmed. The bundle before it does not serve on, as a generation of
our own would: it is not ours, and its owner may have had a reason.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pki.bundle import read_bundle
from pki.errors import PkiError
from pki.trust import BundleError, TrustBundle
from services import log
from services.federation_config import FederatedDomain
from services.watched import Watched, file_stamp


class HasState(Protocol):
    """The part of a process's document that says where its files are."""

    @property
    def state(self) -> Path | None:
        """A directory of its own, if it has one."""


class ForeignBundle:
    """What one trust domain's certificates are verified by."""

    def __init__(
        self,
        trust_domain: str,
        *paths: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file of `paths` that was written last, now and whenever one is."""
        stamps = [file_stamp(path) for path in paths]
        self._watched = Watched(
            lambda: _read(trust_domain, paths),
            lambda: [stamp() for stamp in stamps],
            name=f"trust bundle of {trust_domain}",
            monotonic=monotonic,
        )

    def current(self) -> TrustBundle:
        """Return today's bundle; the same object until the file changes."""
        return self._watched.current()


def fetched_bundles(config: HasState) -> Path | None:
    """Return the directory of what a process fetched, if it has one for its state."""
    return config.state and config.state / "bundles"


def paths_of(
    trust_domain: str, said: FederatedDomain, fetched: Path | None
) -> tuple[Path, ...]:
    """Return where the bundle of a federated domain may lie."""
    if said.endpoint is None or fetched is None:
        return (said.bundle,)
    return said.bundle, fetched_bundle(fetched, trust_domain)


def fetched_bundle(directory: Path, trust_domain: str) -> Path:
    """Return where what was fetched of a domain lies."""
    return directory / f"{trust_domain}.json"


def _read(trust_domain: str, paths: Sequence[Path]) -> TrustBundle:
    try:
        return read_bundle(trust_domain, newest(paths).read_bytes()).trust
    except (OSError, PkiError) as error:
        log.event(
            "bundle.refused", level=logging.ERROR, domain=trust_domain, reason=error
        )
        return TrustBundle(trust_domain, ())


def newest(paths: Sequence[Path]) -> Path:
    """Return the file that came last to its place, whatever date it was given.

    Raises:
        BundleError: there is none.
    """
    found = [(path.stat().st_ctime_ns, path) for path in paths if path.exists()]
    if not found:
        raise BundleError(f"there is no {paths[0]}")
    return max(found)[1]
