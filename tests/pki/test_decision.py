"""What is decided on a request: every refusal alone, and what is given again."""

import json
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock
from pki.authority import preview
from pki.decision import Answer, Request, Verdict
from pki.entry import Reason
from pki.keys import unseal
from pki.pointers import Addresses
from pki.rotation_steps import Phase, What
from tests.pki.builders import (
    ADDRESSES,
    ISSUING_PASSPHRASE,
    Ca,
    alternative,
    csr,
    dns,
    p256,
    policy_document,
)
from tests.pki.rotating import Rotating

ORDERS = "orders@localhost"
STOCK = "stock@localhost"


def decide(
    ca: Ca, *requests: tuple[str, str], now: datetime | None = None
) -> list[Answer]:
    """Return the answers `issue` would give, without signing."""
    batch = preview(
        ca.layout,
        [Request(identity, text) for identity, text in requests],
        run_id="run",
        now=now or clock.utc_now(),
    )
    return list(batch.answers)


def refusal(answer: Answer) -> str:
    """Return the code of a refused answer."""
    assert answer.verdict is Verdict.REFUSED
    assert answer.refusal
    return answer.refusal.code


def test_right_request_would_be_issued(ca: Ca) -> None:
    """Nothing is wrong, so an order is placed."""
    (answer,) = decide(ca, (ORDERS, csr()))
    assert answer.verdict is Verdict.WOULD_ISSUE


def test_unknown_identity_is_refused(ca: Ca) -> None:
    """Whom the policy does not name gets nothing."""
    (answer,) = decide(ca, ("intruder@localhost", csr()))
    assert refusal(answer) == "unknown_identity"


def test_repeated_identity_is_refused(ca: Ca) -> None:
    """The second request of a batch for the same identity, whatever its key."""
    answers = decide(ca, (ORDERS, csr()), (ORDERS, csr()))
    assert answers[0].verdict is Verdict.WOULD_ISSUE
    assert refusal(answers[1]) == "repeated_identity"


def test_foreign_names_are_refused(ca: Ca) -> None:
    """The names of another identity are asked for."""
    names = alternative(*dns("stock.shop.internal"))
    (answer,) = decide(ca, (ORDERS, csr(extensions=[names])))
    assert refusal(answer) == "foreign_names"


def test_key_of_another_identity_is_refused(ca: Ca) -> None:
    """A key certified for orders is not certified for stock."""
    key = p256()
    ca.issue((ORDERS, csr(key)))
    (answer,) = decide(ca, (STOCK, csr(key)))
    assert refusal(answer) == "foreign_key"


def test_key_shared_within_a_batch_is_refused(ca: Ca) -> None:
    """The first one has it, the second is refused, before either is in the ledger."""
    key = p256()
    answers = decide(ca, (ORDERS, csr(key)), (STOCK, csr(key)))
    assert answers[0].verdict is Verdict.WOULD_ISSUE
    assert refusal(answers[1]) == "foreign_key"


@pytest.mark.parametrize("purpose", ["root", "issuing"])
def test_key_of_the_ca_is_refused(ca: Ca, purpose: str) -> None:
    """Neither the root's nor the issuing CA's key becomes a service's."""
    passphrase = {"root": b"root passphrase of the tests"}.get(
        purpose, ISSUING_PASSPHRASE
    )
    sealed = ca.layout.sealed_key(purpose).read_bytes()
    key = unseal(sealed, passphrase, purpose=purpose)
    (answer,) = decide(ca, (ORDERS, csr(key)))
    assert refusal(answer) == "authority_key"


def test_expired_issuing_ca_is_refused(ca: Ca) -> None:
    """After the issuing CA's end there is nothing to issue from."""
    later = clock.utc_now() + timedelta(days=200)
    (answer,) = decide(ca, (ORDERS, csr()), now=later)
    assert refusal(answer) == "issuer_expired"


def test_domain_the_issuing_ca_lacks_is_refused(ca: Ca) -> None:
    """A policy put there by hand permits more than the certificate in use does."""
    document = policy_document()
    document["permitted_dns"].append("other.internal")
    document["identities"][ORDERS]["dns_names"] = ["orders.other.internal"]
    ca.layout.policy.write_text(json.dumps(document))
    (answer,) = decide(ca, (ORDERS, csr()))
    assert refusal(answer) == "names_not_permitted"


def test_one_bad_request_spoils_nothing(ca: Ca) -> None:
    """Each request has its own verdict, in the order they came."""
    answers = decide(ca, ("x@localhost", csr()), (ORDERS, "rubbish"), (STOCK, csr()))
    assert [answer.verdict for answer in answers] == [
        Verdict.REFUSED,
        Verdict.REFUSED,
        Verdict.WOULD_ISSUE,
    ]
    assert refusal(answers[1]) == "request_unreadable"


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    """Return a service's key."""
    return p256()


def test_same_key_gets_the_same_certificate(
    ca: Ca, key: ec.EllipticCurvePrivateKey
) -> None:
    """A repeated request changes nothing while half of the life is left."""
    (issued,) = ca.issue((ORDERS, csr(key))).answers
    (answer,) = decide(ca, (ORDERS, csr(key)))
    assert answer.verdict is Verdict.REUSED
    assert answer.certificate == issued.certificate


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (timedelta(hours=12) - timedelta(minutes=5), Verdict.REUSED),
        (
            timedelta(hours=12) - timedelta(minutes=4, seconds=59),
            Verdict.WOULD_ISSUE,
        ),
    ],
)
def test_half_of_the_life_is_the_limit(
    ca: Ca, key: ec.EllipticCurvePrivateKey, age: timedelta, verdict: Verdict
) -> None:
    """To the second; the five minutes of back-dating count in the life."""
    (issued,) = ca.issue((ORDERS, csr(key))).answers
    assert issued.certificate
    now = issued.certificate.not_valid_before_utc + timedelta(minutes=5) + age
    (answer,) = decide(ca, (ORDERS, csr(key)), now=now)
    assert answer.verdict is verdict


def test_other_names_need_another_certificate(
    ca: Ca, key: ec.EllipticCurvePrivateKey
) -> None:
    """When the policy changed the names, the old certificate is not given again."""
    ca.issue((ORDERS, csr(key)))
    document = policy_document()
    document["identities"][ORDERS]["dns_names"] = ["orders.shop.internal"]
    ca.complete(document)
    (answer,) = decide(ca, (ORDERS, csr(key)))
    assert answer.verdict is Verdict.WOULD_ISSUE


def test_other_key_needs_another_certificate(
    ca: Ca, key: ec.EllipticCurvePrivateKey
) -> None:
    """A new key is a new certificate."""
    ca.issue((ORDERS, csr(key)))
    (answer,) = decide(ca, (ORDERS, csr()))
    assert answer.verdict is Verdict.WOULD_ISSUE


def test_certificate_of_an_earlier_issuing_key_is_not_given_again(
    ca: Ca, key: ec.EllipticCurvePrivateKey
) -> None:
    """The chain that goes with the answer has to fit the certificate."""
    ca.issue((ORDERS, csr(key)))
    Rotating(ca, What.ISSUING).to(Phase.SWITCHING)
    (answer,) = decide(ca, (ORDERS, csr(key)))
    assert answer.verdict is Verdict.WOULD_ISSUE


def test_same_key_gets_the_same_certificate_with_its_pointers(
    telling: Ca, key: ec.EllipticCurvePrivateKey
) -> None:
    """They are compared as the names are."""
    telling.issue((ORDERS, csr(key)))
    (answer,) = decide(telling, (ORDERS, csr(key)))
    assert answer.verdict is Verdict.REUSED


@pytest.mark.parametrize(
    "addresses", [None, Addresses("http://other.internal", ADDRESSES.shards)]
)
def test_other_addresses_need_another_certificate(
    telling: Ca, key: ec.EllipticCurvePrivateKey, addresses: Addresses | None
) -> None:
    """What is given again would point to where nobody answers any more."""
    telling.issue((ORDERS, csr(key)))
    telling.complete(policy_document(addresses=addresses))
    (answer,) = decide(telling, (ORDERS, csr(key)))
    assert answer.verdict is Verdict.WOULD_ISSUE


def test_revoked_key_is_refused(ca: Ca, key: ec.EllipticCurvePrivateKey) -> None:
    """Whatever the reason was, and for whichever certificate of it."""
    ca.issue((ORDERS, csr(key)))
    ca.revoke(ORDERS, reason=Reason.SUPERSEDED)
    (answer,) = decide(ca, (ORDERS, csr(key)))
    assert refusal(answer) == "revoked_key"
