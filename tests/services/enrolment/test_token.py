"""The CA's front with its issuing key in a PKCS#11 token (SoftHSM)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from pki import founding
from pki.clock import utc_now
from pki.layout import Layout
from pki.pkcs11 import session
from tests.pki.builders import CHEAP, ISSUING_PASSPHRASE, ROOT_PASSPHRASE, policy
from tests.pki.tokens import SoftHsm
from tests.services.authority import (
    HOURS_23,
    Authority,
    certificate,
    document,
    enrolment,
    request_of,
)
from tests.services.mesh import Serve


@pytest.fixture
def in_token(tmp_path: Path) -> Iterator[Authority]:
    """Return a CA of 23 hours ago whose issuing key is in a token."""
    hsm = SoftHsm.at(tmp_path / "softhsm")
    place = hsm.make_token("issuing", ISSUING_PASSPHRASE)
    with hsm.used():
        with patch("pki.clock.utc_now", lambda: utc_now() - HOURS_23):
            founding.found(
                Layout(tmp_path / "ca"),
                policy(document(("orders", "stock", "enrolment"))),
                passphrases=founding.Passphrases(
                    root=lambda: ROOT_PASSPHRASE,
                    issuing=lambda: ISSUING_PASSPHRASE,
                    places={"issuing": place},
                ),
                run_id="founding",
                cost=CHEAP,
            )
        yield Authority(tmp_path, services=("orders", "stock", "enrolment"))


def test_the_front_renews_with_a_key_in_a_token(
    in_token: Authority, serve: Serve, tmp_path: Path
) -> None:
    """It opens the key by the PIN, and refuses to sign once the token is gone."""
    orders = in_token.instance("orders", age=timedelta(hours=20))
    stock = in_token.instance("stock", age=timedelta(hours=19))
    with enrolment(in_token, serve, tmp_path) as front:
        renewed = certificate(front.post(orders, request_of(orders)))
        renewed.verify_directly_issued_by(in_token.issuing)
        for opened in session._sessions.values():
            opened.close()
        refused = front.post(stock, request_of(stock))
    assert refused.status_code == 503
