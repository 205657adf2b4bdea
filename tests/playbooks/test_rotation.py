"""Keys and certificates are replaced under load, by real plays, and no request fails.

All of it in a directory and on ports of its own, with processes under a process manager
of its own. Tokens live for a few seconds, so that new ones are asked for all the time.
"""

from collections.abc import Iterator

import pytest
from ansible_collections.certbound.kit.plugins.module_utils.openssl import (
    fingerprints,
    read_certificate,
)

from tests.playbooks.loading import load
from tests.playbooks.rolling import Rolling, Run

pytestmark = [pytest.mark.rollout, pytest.mark.rotation]

EVERYBODY = 6


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return a place where the sample topology has been rolled out."""
    rolling = Rolling(tmp_path_factory.mktemp("rotation"))
    text = rolling.topology.read_text()
    # Tokens are asked for all the time. A front that does not answer for seconds, on a
    # machine that has much else to do, is another matter: all refuse, as they must.
    for before, after in (("token: 5m", "token: 5s"), ("bound: 5s", "bound: 30s")):
        assert before in text
        text = text.replace(before, after)
    rolling.topology.write_text(text)
    try:
        run = rolling.play("site", "--skip-tags", "verify,drill")
        if run.returncode:  # a machine that has much else to do; it goes on from there
            run = rolling.play("site", "--skip-tags", "verify,drill")
        assert run.returncode == 0, run.said
        yield rolling
    finally:
        rolling.play("down")
        rolling.ours.stop(10)


def rotate(rolling: Rolling, what: str, *arguments: str) -> Run:
    """Replace something."""
    return rolling.play("rotate", "-e", f"what={what}", *arguments)


def issuers(rolling: Rolling) -> set[str | None]:
    """Return who has signed what is in use: key identifiers."""
    return {
        read_certificate(str(path / "certificate.pem")).issuer_key
        for path in rolling.root.glob("services/*/identity/current")
    }


def roots(rolling: Rolling) -> set[tuple[str, ...]]:
    """Return what is trusted, by everybody who trusts the same."""
    return {
        tuple(sorted(fingerprints((path / "bundle.pem").read_text())))
        for path in rolling.root.glob("services/*/identity/current")
    }


def test_signing_keys_are_replaced_under_load(rolling: Rolling) -> None:
    """Published, known to every process, then used; once more, it changes nothing."""
    with load(rolling) as found:
        first = rotate(rolling, "signing_keys", "-e", "again=true")
        assert (first.returncode, first.changed) == (0, 2), first.said
        assert "signing keys: published: 5 of 5 proved" in first.said
        second = rotate(rolling, "signing_keys")
        assert (second.returncode, second.changed) == (0, 0), second.said
    found.check("signing keys")
    issued = (rolling.root / "log" / "token-service.log").read_text()
    assert issued.count('"signing_key.retired"') == 1


@pytest.mark.parametrize("what", ["certificates", "issuing", "root"])
def test_the_ca_is_rotated_under_load(rolling: Rolling, what: str) -> None:
    """Every certificate is new, and what is replaced is gone; then nothing is left."""
    serials, by, trusted = rolling.serials(), issuers(rolling), roots(rolling)
    processes = rolling.processes()
    with load(rolling) as found:
        run = rotate(rolling, what)
        assert run.returncode == 0, run.said
    found.check(what)
    after = rolling.serials()
    assert all(after[name] != serials[name] for name in serials)
    assert f"{what}: distrusting: {EVERYBODY} of {EVERYBODY} proved" in run.said
    assert (issuers(rolling) == by) is (what == "certificates")
    assert (roots(rolling) == trusted) is (what != "root")
    assert (len(issuers(rolling)), len(roots(rolling))) == (1, 1)
    assert rolling.processes() == processes
    again = rotate(rolling, what)
    assert (again.returncode, again.changed) == (0, 0), again.said
    site = rolling.play("site", "--skip-tags", "verify,drill")
    assert (site.returncode, site.changed) == (0, 0), site.said


def test_it_goes_back_phase_by_phase_under_load(rolling: Rolling) -> None:
    """Stopped while hosts switch, everybody trusts and presents what was before.

    Who joins in the middle joins the present phase, and goes back with the others.
    """
    by, trusted = issuers(rolling), roots(rolling)
    with load(rolling) as found:
        moments = ("root: switching", "See that what was installed is served")
        rolling.kill_at("rotate", moments, "-e", "what=root", "-e", "again=true")
        assert issuers(rolling) != by
        rolling.add_fourth()
        joined = rolling.play("site", "--skip-tags", "verify,drill")
        assert joined.returncode == 0, joined.said
        assert "invoices" in rolling.serials()
        (trusting,), (signer,) = roots(rolling), issuers(rolling)
        assert len(trusting) == len({"the old root", "the new root"})
        assert signer not in by
        run = rotate(rolling, "root", "-e", "reverse=true")
        assert run.returncode == 0, run.said
    found.check("root, and back")
    assert (issuers(rolling), roots(rolling)) == (by, trusted)
    site = rolling.play("site", "--skip-tags", "verify,drill")
    assert (site.returncode, site.changed) == (0, 0), site.said
