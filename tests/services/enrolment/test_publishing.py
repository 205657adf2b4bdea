"""What keeps lists and answers from running out while nobody revokes."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from pki import ocsp as answers
from pki import responder, revocation
from pki.layout import NoAuthorityError
from pki.storage import InsecurePermissionsError
from services.enrolment.office import keyring_of
from services.enrolment.publishing import _TICK, Upkeep
from services.metrics import value
from tests.services.logged import lines, listen
from tests.services.mesh import until
from tests.services.published import Told, founded, publisher


def keeper(told: Told, looks: int = 1) -> Upkeep:
    """Return what looks at the CA of `told`, so often."""
    left = [*range(looks)]

    def wait(_seconds: float) -> bool:
        left.pop()
        return not left

    keyring = keyring_of(told.house.layout, told.config.issuing_passphrase)
    return Upkeep(told.house.layout, keyring, wait, told.clock)


def looks(outcome: str, reason: str = "") -> float:
    """Return how many looks were counted."""
    return value("certbound_publications_total", outcome=outcome, reason=reason)


def begun(told: Told) -> tuple[datetime, datetime]:
    """Return since when the list and the answer about orders are."""
    answer = ocsp.load_der_ocsp_response(told.get(told.asking(told.orders)).content)
    return told.crl(told.orders).last_update_utc, answer.this_update_utc


def test_what_is_half_through_its_life_is_made_anew(tmp_path: Path) -> None:
    """By the running process, from the moment on that it is due, and not before."""
    with publisher(tmp_path) as told:
        first = begun(told)
        told.clock.move(hours=11, minutes=58)  # founded a minute ago, lists of a day
        seen = looks("answered")
        until(lambda: looks("answered") >= seen + 2)
        assert begun(told) == first
        told.clock.move(minutes=2)
        until(lambda: min(begun(told)) > max(first))
        assert begun(told) == (told.clock().replace(microsecond=0),) * 2


def test_three_days_pass_and_nothing_runs_out(tmp_path: Path) -> None:
    """Every four hours there is a list in force, and an answer that says good."""
    with publisher(tmp_path) as told:
        url, question = told.pointers(told.orders).crl, told.asking(told.orders)
        for _ in range(18):
            told.clock.move(hours=4)
            seen = looks("answered")
            until(lambda seen=seen: looks("answered") >= seen + 2)  # type: ignore[misc]  # bound now
            answer = told.get(question)
            crl = x509.load_der_x509_crl(told.get(url).raise_for_status().content)
            assert crl.next_update_utc
            assert crl.next_update_utc - told.clock() >= timedelta(hours=12)
            assert told.status(answer) == ocsp.OCSPCertStatus.GOOD


def test_the_first_look_is_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was away for two days makes at once what has run out."""
    listen(caplog)
    told = founded(tmp_path)
    told.clock.move(days=2)
    keeper(told).run()
    (line,) = [one for one in lines(caplog) if one["event"] == "publication.made"]
    assert line["lists"] == "full,0,1"
    until_issuing = value("certbound_published_until_seconds", by="issuing")
    assert until_issuing == int(told.clock.moment.timestamp()) + 86400
    assert value("certbound_published_until_seconds", by="root") > until_issuing


def test_a_roots_list_that_waits_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a year later it is due, and not made without its key: said once."""
    listen(caplog)
    told = founded(tmp_path)
    told.clock.move(days=183)
    keeper(told, looks=2).run()
    said = [(one["event"], one["level"]) for one in lines(caplog)]
    assert said == [("publication.root_waits", "warning")]


def test_a_look_that_finds_nothing_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And needs no passphrase."""
    listen(caplog)
    told = founded(tmp_path)
    told.config.issuing_passphrase.unlink()
    keeper(told).look()
    assert lines(caplog) == []


def test_a_passphrase_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    """The same rule as where the front opens the key."""
    told = founded(tmp_path)
    told.config.issuing_passphrase.chmod(0o644)
    told.clock.move(days=2)
    with pytest.raises(InsecurePermissionsError):
        keeper(told).look()


def test_a_look_that_fails_is_an_error_and_not_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log and in a count each time."""
    listen(caplog)
    told, before = founded(tmp_path), looks("failed", NoAuthorityError.__name__)
    told.house.layout.policy.unlink()
    keeper(told, looks=2).run()
    assert [(one["event"], one["level"], one["cause"]) for one in lines(caplog)] == [
        ("publication.failed", "error", "NoAuthorityError")
    ] * 2
    assert looks("failed", NoAuthorityError.__name__) == before + 2


def test_looks_come_often_enough() -> None:
    """A hundred of them may fail in a row between half of a life and its end."""
    shortest = min(revocation.LIFETIME, answers.LIFETIME, responder.LIFETIME)
    assert 100 * timedelta(seconds=_TICK) < shortest / 2
