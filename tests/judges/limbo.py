"""Cases of x509-limbo (github.com/C2SP/x509-limbo, Apache-2.0), put to `pki.trust`.

A case is a leaf, certificates to build a path from, roots, a moment, and whether the
path is good. How it is put to us:

| it is about | asked |
|---|---|
| a server, by its name | `verify_server` |
| a client, or a server of no name | `verify_path` |
| lists of revocations as well | `verify_list` and `check_path_revocation` |

`verify_chain`, which asks for X509-SVIDs, would refuse every one of them: none has a
SPIFFE ID. It finds its paths with the same function as the other two.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import clock
from pki.errors import PkiError
from pki.path import DEEPEST
from pki.path_revocation import check_path_revocation
from pki.revocation_list import ForeignListError, RevocationList, verify_list
from pki.trust import TrustBundle, verify_path, verify_server

Chain = Sequence[x509.Certificate]


@dataclass(frozen=True)
class Case:
    """One case of the suite."""

    document: dict[str, Any]

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.document["id"])

    @property
    def good(self) -> bool:
        """Whether the suite says that the path is good."""
        return {"SUCCESS": True, "FAILURE": False}[self.document["expected_result"]]

    @property
    def now(self) -> datetime:
        """The moment at which it is asked."""
        moment = self.document["validation_time"]
        return datetime.fromisoformat(moment) if moment else clock.utc_now()


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a file."""
    return [Case(document) for document in json.loads(path.read_text())["testcases"]]


def refusal(case: Case) -> Exception | None:
    """Return why we refuse the path, or None if we trust it.

    `ValueError` is the library's for what is no certificate; whoever calls `pki.trust`
    has met with it before.
    """
    try:
        path = _verified(case)
        if case.document["crls"]:
            check_path_revocation(path, list(_lists(case, path)), now=case.now)
    except (PkiError, ValueError) as error:
        return error
    return None


def _verified(case: Case) -> Chain:
    asked = case.document
    kind, host = asked["validation_kind"], asked["expected_peer_name"]
    usage = {"SERVER": "serverAuth", "CLIENT": "clientAuth"}[kind]
    # What we have no way to ask for, and no case has asked for so far.
    assert not asked["signature_algorithms"]
    assert set(asked["extended_key_usage"]) <= {usage}
    assert set(asked["key_usage"]) <= {"digitalSignature"}
    leaf, *others = map(
        _certificate, [asked["peer_certificate"], *asked["untrusted_intermediates"]]
    )
    roots = tuple(map(_certificate, asked["trusted_certs"]))
    bundle = TrustBundle("limbo.test", roots)
    depth = asked["max_chain_depth"]
    depth = DEEPEST if depth is None else min(depth, DEEPEST)
    if kind == "CLIENT" or host is None:
        return verify_path([leaf, *others], bundle, now=case.now, depth=depth)
    subject: x509.DNSName | x509.IPAddress = (
        x509.DNSName(host["value"])
        if host["kind"] == "DNS"
        else x509.IPAddress(ip_address(host["value"]))
    )
    return verify_server([leaf, *others], bundle, subject, now=case.now, depth=depth)


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _lists(case: Case, path: Chain) -> Iterator[RevocationList]:
    """Yield every list that a CA on the path is said to have signed, verified."""
    for pem in case.document["crls"]:
        der = x509.load_pem_x509_crl(pem.encode()).public_bytes(Encoding.DER)
        for issuer in path[1:]:
            try:
                yield verify_list(der, issuer)
            except ForeignListError:
                continue
