"""The CA's host, whose root is offline, asks for a certificate of its issuing key.

`hall` answers on the offline machine, `taking` brings the answer home. The issuing key
is made here and never leaves.
"""

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from pki import keys
from pki.ceremony.request import make_request, stands_for
from pki.envelope import RECOMMENDED, Cost
from pki.errors import PkiError
from pki.layout import Layout
from pki.pkcs11.place import Place
from pki.policy import Policy
from pki.storage import (
    check_private,
    exclusive,
    make_private_directory,
    write_atomically,
)


class RootOnlineError(PkiError):
    """The root's key lies on this host: it is not offline."""

    code = "root_online"


def ask(
    layout: Layout,
    policy: Policy,
    *,
    passphrase: Callable[[], bytes],
    place: Place | None = None,
    cost: Cost = RECOMMENDED,
) -> tuple[bytes, bool]:
    """Return the request to carry to the root, and whether it was made now.

    The same request is returned until key or policy change. A CA that has a policy
    keeps it: `init` is what changes that.

    Raises:
        RootOnlineError: the root's key lies here.
        SealedKeyError, TokenError: the issuing key cannot be made or opened.
    """
    make_private_directory(layout.directory)
    check_private(layout.directory)
    kept = layout.directory / "issuing.request.json"
    with exclusive(layout.lock):
        check_offline(layout)
        path = layout.sealed_key("issuing")
        if not path.exists():
            _, sealed = keys.make("issuing", passphrase(), place=place, cost=cost)
            write_atomically(path, sealed)
        if not layout.policy.exists():
            write_atomically(layout.policy, policy.text)
        public = keys.public_key(keys.read_sealed(path), purpose="issuing")
        if kept.exists() and stands_for(kept.read_bytes(), public, policy):
            return kept.read_bytes(), False
        key = keys.unseal(keys.read_sealed(path), passphrase(), purpose="issuing")
        return leave_request(layout, key, policy).read_bytes(), True


def leave_request(
    layout: Layout,
    key: ec.EllipticCurvePrivateKey,
    policy: Policy,
    *,
    named: str | None = None,
) -> Path:
    """Return where the request for an issuing key lies, made if it is not there yet.

    The first key's is `issuing.request.json`; that of one that follows it in a rotation
    is `named` for its identifier. The caller holds the CA's lock.
    """
    name = f"issuing-{named}" if named else "issuing"
    path = layout.directory / f"{name}.request.json"
    if not path.exists() or not stands_for(path.read_bytes(), key.public_key(), policy):
        write_atomically(path, make_request(key, policy))
    return path


def check_offline(layout: Layout) -> None:
    """Return if the root's key does not lie here.

    Raises:
        RootOnlineError: it does.
    """
    path = layout.sealed_key("root")
    if path.exists():
        raise RootOnlineError(
            f"{path} lies here: a ceremony is for a root that does not"
        )
