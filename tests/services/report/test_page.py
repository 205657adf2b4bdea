"""The page shows all that was seen, fetches nothing and believes nobody."""

import json
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.config import ConfigError
from services.drill.result import KINDS, Cell, Row
from services.drill.thefts import THEFTS
from services.probe import Edge, Findings
from services.report import evidence
from services.report.observations import (
    Observations,
    cells_of,
    more_of,
    read_observations,
)
from services.report.page import render_page
from services.report.tables import render
from tests.services.report.fleets import NOW, drill_of, edge, fleet, identity
from tests.services.report.reading import fetched, lines, parse, rows, words

HOSTILE = "</style><script>alert(1)</script>\"'&amp;<b>"
THEFT = ("with no certificate", "accepted", "TLS alert: certificate required")


def page(observed: Observations) -> Any:
    return parse(render_page(observed, NOW, {"certbound": "1"}))


@pytest.fixture(scope="module")
def written(seen: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory in which the command has left its files."""
    directory = tmp_path_factory.mktemp("report")
    subprocess.run(
        [
            *(sys.executable, "-m", "services", "report"),
            *("--html", directory / "report.html"),
            *("--json", directory / "report.json"),
        ],
        input=json.dumps(seen).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return directory


def test_every_identity_is_on_the_page(written: Path, seen: dict[str, Any]) -> None:
    """Each identity is there with host, port, SPIFFE ID and serial."""
    shown = rows(parse((written / "report.html").read_text()), "lives")
    assert len(shown) == len(seen["probe"]["identities"]) == 5
    for one, row in zip(seen["probe"]["identities"], shown, strict=True):
        where = f"{one['host']}, {one['address']}:{one['port']}"
        for fact in (one["service"], where, one["spiffe_id"], one["serial"]):
            assert fact in row


def test_every_call_is_on_the_page(written: Path, seen: dict[str, Any]) -> None:
    """Each call is there with its answer and each reason, allowed ones first."""
    shown = rows(parse((written / "report.html").read_text()), "calls")
    assert len(shown) == len(seen["probe"]["edges"]) == 12
    assert [row.split()[2] for row in shown] == ["yes"] * 3 + ["no"] * 9
    for one in seen["probe"]["edges"]:
        row = next(
            row for row in shown if row.startswith(f"{one['caller']} {one['callee']} ")
        )
        assert str(one["status"]) in row
        assert all(reason in row for reason in one["reason"].split("; "))


def test_the_picture_draws_every_try(written: Path) -> None:
    """Who may call whom is one kind of line, who was refused is another."""
    root = parse((written / "report.html").read_text())
    allowed = {"storefront → orders", "orders → stock", "edge → orders"}
    assert lines(root, "answered") == allowed
    assert len(lines(root, "refused")) == 9


def test_every_theft_is_on_the_page(written: Path, seen: dict[str, Any]) -> None:
    """Each row of the drill is there, with what came of each kind of token."""
    shown = rows(parse((written / "report.html").read_text()), "drill")
    assert len(shown) == len(seen["drill"]["rows"]) == len(THEFTS)
    for one, row in zip(seen["drill"]["rows"], shown, strict=True):
        assert row.startswith(one["tried"])
        for kind in KINDS:
            said = one[kind]["happened"] if one.get(kind) else "does not apply"
            assert said in row, (one["tried"], kind)


def test_the_page_counts_what_a_thief_gets(written: Path) -> None:
    """The owner's own use is no theft; of the rest, bearer tokens pay six times."""
    said = words(parse((written / "report.html").read_text()))
    assert "stolen bearer token 6 of 22" in said
    assert "stolen certificate-bound token 0 of 22" in said
    assert "stolen key-bound token (DPoP) 0 of 33" in said
    assert "stolen phantom (opaque) token 0 of 19" in said
    assert "stolen exchanged token 0 of 22" in said


def test_the_page_says_what_made_it(written: Path) -> None:
    """Versions, time and run are at its foot."""
    foot = words(next(parse((written / "report.html").read_text()).iter("footer")))
    for part in ("certbound", "Python 3.", "OpenSSL", "ansible-core 2.19.14", "a-run"):
        assert part in foot


def test_nothing_is_fetched(written: Path) -> None:
    """No script, no address: the page needs nothing beside itself."""
    assert list(fetched(parse((written / "report.html").read_text()))) == []


def test_the_evidence_is_kept_whole(written: Path, seen: dict[str, Any]) -> None:
    """The JSON is what was read, with the time and the versions."""
    kept = json.loads((written / "report.json").read_text())
    assert {name: kept[name] for name in seen} == seen
    assert kept["made_at"].endswith("Z")
    assert kept["versions"]["ansible-core"] == "2.19.14"


def test_files_are_their_owners_alone(written: Path) -> None:
    """Both files have mode 0600, and nothing else is left behind."""
    assert {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in written.iterdir()
    } == {
        "report.html": 0o600,
        "report.json": 0o600,
    }


def test_a_page_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a page cannot be written, the one before stays and no half is left."""
    path = tmp_path / "report.html"
    evidence.write(path, b"before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        evidence.write(path, b"after")
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"before"]


@pytest.mark.parametrize("where", ["names", "reasons", "run"])
def test_what_others_say_is_escaped(where: str) -> None:
    """A hostile name, reason or run id is text, wherever it stands."""
    name = HOSTILE if where == "names" else "orders"
    reason = HOSTILE if where == "reasons" else ""
    refused = msgspec.structs.replace(edge("shop", name, allowed=False), reason=reason)
    findings = Findings(identities=[identity(name)], edges=[refused], ok=True)
    observed = Observations(probe=findings, drill=drill_of((reason, reason, reason)))
    if where == "run":
        run = msgspec.structs.replace(observed.run, id=HOSTILE, ansible=HOSTILE)
        observed = msgspec.structs.replace(observed, run=run)
    root = page(observed)
    assert list(fetched(root)) == []
    assert not list(root.iter("b"))
    assert HOSTILE in words(root)


def test_what_differs_is_said_first_and_marked() -> None:
    """A page with a difference says so in its headline, its picture and its rows."""
    root = page(fleet(12, wrong=frozenset({("storefront", "stock")})))
    head = words(next(root.iter("header")))
    assert "Not as the topology says: 1 call." in head
    assert rows(root, "calls")[0].endswith("differs")
    assert lines(root, "wrongly-answered") == {"storefront → stock"}


def test_an_allowed_call_that_was_refused_differs() -> None:
    """The other way round it has a line of its own kind."""
    root = page(fleet(3, wrong=frozenset({("storefront", "checkout")})))
    assert lines(root, "wrongly-refused") == {"storefront → checkout"}


def test_an_expired_identity_differs() -> None:
    """A certificate whose time is over is named, and has no line of life."""
    findings = Findings(
        identities=[identity("orders", left=timedelta(hours=-2))], edges=[], ok=True
    )
    root = page(Observations(probe=findings))
    assert "1 expired identity" in words(next(root.iter("header")))
    assert "expired 2 h ago" in rows(root, "lives")[0]


def test_many_refused_calls_are_folded_and_still_there() -> None:
    """All 870 pairs of 30 services are rows; the refused ones are unfolded by hand."""
    root = page(fleet(30))
    assert len(rows(root, "calls")) == 870
    folded = next(root.iter("details"))
    assert folded.get("open") is None
    assert len(rows(root, "grid")) == 30
    assert lines(root, "refused") == set()


def test_a_call_that_was_not_tried_is_drawn_so(seen: dict[str, Any]) -> None:
    """Without a probe, the picture is of the deployment alone."""
    observed = read_observations(
        json.dumps({"deployment": seen["deployment"]}).encode()
    )
    root = page(observed)
    assert lines(root, "untried") == {
        "storefront → orders",
        "orders → stock",
        "edge → orders",
    }
    assert rows(root, "calls") == []


def test_nothing_seen_is_a_page_too() -> None:
    """An empty document makes a page that says so."""
    assert "No deployment was described" in words(page(read_observations(b"{}")))


def test_a_newer_probe_and_drill_can_be_read(seen: dict[str, Any]) -> None:
    """Members that are not known here change nothing."""
    newer = json.loads(json.dumps(seen)) | {"more": 1}
    newer["probe"]["edges"][0]["more"] = {"group": "X25519MLKEM768"}
    newer["probe"]["more"] = newer["drill"]["rows"][0]["more"] = True
    known = read_observations(json.dumps(seen).encode())
    assert read_observations(json.dumps(newer).encode()) == known


def test_further_columns_and_facts_are_shown() -> None:
    """A kind of token more is a column more; a fact more stands in its row."""

    class WiderRow(Row, frozen=True, kw_only=True):
        sealed: Cell

    class WiderEdge(Edge, frozen=True, kw_only=True):
        tls_group: str = ""

    drill = drill_of(THEFT)
    row = drill.rows[0]
    wide = WiderRow(
        **{name: getattr(row, name) for name in row.__struct_fields__},
        sealed=Cell(expected="no seal", happened="no seal", ok=True),
    )
    assert [name for name, _ in cells_of(wide)] == ["bearer", "bound", "sealed"]
    tried = edge("storefront", "orders", allowed=True)
    fields = {name: getattr(tried, name) for name in tried.__struct_fields__}
    grouped = WiderEdge(**fields, tls_group="X25519MLKEM768")
    assert dict(more_of(grouped, *fields)) == {"tls group": "X25519MLKEM768"}
    observed = Observations(
        probe=Findings(identities=[], edges=[grouped], ok=True),
        drill=msgspec.structs.replace(drill, rows=[wide]),
    )
    said = words(page(observed))
    assert "sealed token" in said
    assert "tls group X25519MLKEM768" in said
    assert "sealed" in render(observed)


def test_what_is_no_observation_is_refused() -> None:
    """Something else than the commands print is answered with one sentence."""
    with pytest.raises(ConfigError, match="observations"):
        read_observations(b'{"probe": 1}')
    with pytest.raises(ConfigError, match="observations"):
        read_observations(b"no JSON")
