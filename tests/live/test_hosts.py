"""Every host runs what the topology gives it, and nothing else answers there."""

from tests.live.fleet import Fleet, Seen


def test_a_host_presents_its_identities_and_no_others(
    fleet: Fleet, seen: Seen, host: str
) -> None:
    """Each identity of the host was read off a live port."""
    expected = {name for name in fleet.identities if name.partition("@")[2] == host}
    assert {name for name in seen.identities if name.partition("@")[2] == host} == (
        expected
    )


def test_nobody_was_left_out(seen: Seen) -> None:
    """The probe could look at every instance."""
    assert seen.evidence["probe"].get("missing", []) == []


def test_no_two_identities_share_a_certificate(seen: Seen) -> None:
    """Serials at the live ports differ."""
    serials = [one["serial"] for one in seen.identities.values()]
    assert len(set(serials)) == len(serials)


def test_the_page_came_out(seen: Seen) -> None:
    """There is a page about this look, for its owner alone."""
    assert seen.page.read_text().startswith("<!DOCTYPE html>")
    assert seen.page.stat().st_mode & 0o077 == 0
