"""Issue certificates: check every request, record, sign, give out (in that order).

`python -m pki issue` calls `issue` with a whole batch: one opening of the issuing key,
one lock, one transaction for all certificates, and a verdict for each request, so
that one bad request spoils nothing for the others. Asking again with the same key and
names gives the same certificate while half of its life is left: a play that is
repeated changes nothing.

What this does not prove: that a request comes from the host its identity names. The
channel does that; for the first certificate it is the SSH that Ansible trusts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, keys
from pki.decision import Answer, Desk, Request, Verdict
from pki.errors import PkiError
from pki.layout import Layout, NoAuthorityError
from pki.ledger import Ledger, open_ledger
from pki.policy import read_policy
from pki.request import spki_sha256
from pki.signing import Order, check_clock, sign_and_record
from pki.storage import exclusive


class WrongIssuingKeyError(PkiError):
    """The CA's keys and certificates do not belong together, or are not ours."""

    code = "wrong_issuing_key"


@dataclass(frozen=True, slots=True)
class Batch:
    """The answers in the order of the requests, and the chain above them."""

    answers: tuple[Answer, ...]
    issuing: x509.Certificate
    root: x509.Certificate


def issue(
    layout: Layout,
    requests: Sequence[Request],
    *,
    passphrase: Callable[[], bytes],
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Batch:
    """Answer `requests`; what is issued is durable in the ledger before it returns.

    The passphrase is asked for only if there is something to sign.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
        SealedKeyError, WrongIssuingKeyError: the issuing key cannot be used.
    """
    layout.check_complete()
    with exclusive(layout.lock), open_ledger(layout.ledger) as ledger:
        desk = _open_desk(layout, ledger, now(), run_id)
        decided = desk.decide_all(requests)
        orders = [item for item in decided if isinstance(item, Order)]
        signed: list[x509.Certificate] = []
        if orders:
            key = _open_issuing_key(layout, desk.issuing, passphrase)
            signed = sign_and_record(ledger, orders, key)
    fresh = iter(signed)
    answers = tuple(
        Answer(item.planned.identity, Verdict.ISSUED, next(fresh))
        if isinstance(item, Order)
        else item
        for item in decided
    )
    return Batch(answers, desk.issuing, desk.root)


def preview(
    layout: Layout, requests: Sequence[Request], *, run_id: str, now: datetime
) -> Batch:
    """Answer as `issue` would, signing and recording nothing.

    Raises:
        NoAuthorityError: there is no CA in the directory.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        desk = _open_desk(layout, ledger, now, run_id)
        answers = tuple(
            Answer(item.planned.identity, Verdict.WOULD_ISSUE)
            if isinstance(item, Order)
            else item
            for item in desk.decide_all(requests)
        )
    return Batch(answers, desk.issuing, desk.root)


def trust_bundle(layout: Layout) -> x509.Certificate:
    """Return the root that all parties trust.

    Raises:
        NoAuthorityError: there is no CA in the directory.
    """
    layout.check_complete()
    return _certificate(layout, "root")


def _open_desk(layout: Layout, ledger: Ledger, now: datetime, run_id: str) -> Desk:
    check_clock(ledger, now)
    root, issuing = _certificate(layout, "root"), _certificate(layout, "issuing")
    return Desk(
        policy=read_policy(layout.policy.read_bytes()),
        ledger=ledger,
        root=root,
        issuing=issuing,
        authority_keys=frozenset({_spki(root), _spki(issuing)}),
        now=now,
        run_id=run_id,
    )


def _certificate(layout: Layout, purpose: str) -> x509.Certificate:
    path = layout.certificate(purpose)
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise NoAuthorityError(
            f"{path} is no certificate; python -m pki init restores it: {error}"
        ) from error


def _open_issuing_key(
    layout: Layout, issuing: x509.Certificate, passphrase: Callable[[], bytes]
) -> ec.EllipticCurvePrivateKey:
    sealed = keys.read_sealed(layout.sealed_key("issuing"))
    key = keys.unseal(sealed, passphrase(), purpose="issuing")
    if key.public_key() != issuing.public_key():
        raise WrongIssuingKeyError(
            f"{layout.sealed_key('issuing')} does not belong to the certificate"
        )
    return key


def _spki(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise WrongIssuingKeyError("a CA's key here is not on an elliptic curve")
    return spki_sha256(key)
