"""Where state is kept, and that it is in one place where it must be.

Called by `consistency`. The processes read each URL again (`services.state.open`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .document import Document, KeyPath
    from .model import Store, Topology

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def check_stores(document: Document, topology: Topology) -> None:
    """Refuse secrets in a store's URL, and tokens that half the replicas cannot read.

    Raises:
        TopologyError: the sentence says what was expected.
    """
    _check_ledger(document, topology.ledger)
    _check_url(document, ("token_service",), topology.token_store)
    for part, named in (
        ("services", topology.services),
        ("gateways", topology.gateways),
    ):
        for name, workload in named.items():
            _check_url(document, (part, name), workload.store)
    store = topology.token_store
    if len(topology.token_hosts) == 1 or (
        store is not None and store.scheme == "rediss"
    ):
        return
    for name, client in topology.clients.items():
        if client.format == "opaque":
            raise document.refuse(
                ("clients", name, "format"),
                "an opaque token is known to one of several token services alone, "
                "expected jwt, or a token_service.store by rediss://",
            )


def _check_ledger(document: Document, ledger: Store | None) -> None:
    if ledger is None:
        if "ledger_password" in document.data["ca"]:
            raise document.refuse(
                ("ca", "ledger_password"), "expected only beside ca.ledger"
            )
        return
    url = urlsplit(ledger.url)
    if url.password is not None:
        raise document.refuse(
            ("ca", "ledger"), "holds a password, expected ledger_password, a file"
        )
    if len(url.path) < len("/x"):
        raise document.refuse(("ca", "ledger"), "names no database")


def _check_url(document: Document, key: KeyPath, store: Store | None) -> None:
    if store is None:
        return
    if urlsplit(store.url).password is not None:
        # Not shown: the sentence is printed, and the password is in it.
        raise document.refuse(
            (*key, "store"), "holds a password, expected store_password, a file with it"
        )
    if store.password is not None and store.scheme == "sqlite":
        raise document.refuse(
            (*key, "store_password"), "expected only beside a store in Redis"
        )
    hostname = urlsplit(store.url).hostname
    if store.scheme == "redis" and hostname not in _LOOPBACK:
        raise document.refuse(
            (*key, "store"), "goes to another host in the clear, expected rediss://"
        )
