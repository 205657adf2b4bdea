"""What the documents say is true: keys, commands, files and tests they name exist."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parent.parent
SCHEMA = PROJECT / (
    "playbooks/collections/ansible_collections/certbound/kit/schemas/topology.json"
)
PAGES = [
    *(PROJECT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
ROW = re.compile(r"^\| ([OP]\d+) \|[^|]*\|([^|]*)\|([^|]*)\|")
KEPT = "kept"


def _keys(schema: dict[str, Any]) -> Iterator[str]:
    """Yield every key that a topology may hold, however deep."""
    for name, below in schema.get("properties", {}).items():
        yield name
        yield from _keys(below)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _keys(schema["additionalProperties"])


@pytest.mark.parametrize("key", sorted(set(_keys(json.loads(SCHEMA.read_text())))))
def test_every_key_of_the_topology_is_documented(key: str) -> None:
    """A key that the schema knows stands in docs/topology.md."""
    assert re.search(
        rf"`([a-z_]+\.)?{key}:?`", (PROJECT / "docs/topology.md").read_text()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the project."""
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_targets_that_exist() -> None:
    """Each `make` target in the README is in the Makefile."""
    named = set(re.findall(r"make ([a-z-]+)", (PROJECT / "README.md").read_text()))
    made = set(
        re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    )
    assert named
    assert named <= made


def test_every_dependency_has_its_line() -> None:
    """What pyproject.toml asks for stands in docs/dependencies.md."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        asked += extra
    page = (PROJECT / "docs/dependencies.md").read_text()
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in asked}  # type: ignore[index]
    assert sorted(name for name in names if f"`{name}`" not in page) == []


def test_the_architecture_names_files_that_exist() -> None:
    """The list of concepts names files of the project."""
    page = (PROJECT / "docs/architecture.md").read_text()
    named = re.findall(r"`((?:pki|services)/[a-z_/]+\.py)`", page)
    assert named
    assert [name for name in named if not (PROJECT / name).exists()] == []


def _tests() -> set[str]:
    return {
        node.name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_kept_obligations_name_their_file_and_test() -> None:
    """A line of docs/standards.md that says "kept" names what keeps and what proves."""
    tests = _tests()
    rows = [
        match.groups()
        for line in (PROJECT / "docs/standards.md").read_text().splitlines()
        if (match := ROW.match(line))
    ]
    assert rows
    for number, answer, proof in rows:
        if answer.strip().startswith(KEPT):
            files = re.findall(r"`([^`]+\.(?:py|yml|md))`", answer)
            proofs = re.findall(r"`(test_[a-z0-9_]+)`", proof)
            assert files, f"{number} names no file"
            assert proofs, f"{number} names no test"
            assert all((PROJECT / name).exists() for name in files), (
                f"{number}: {files}"
            )
            assert set(proofs) <= tests, f"{number}: {set(proofs) - tests}"


def test_kept_obligations_are_counted() -> None:
    """Each section of docs/standards.md says how many of its lines are kept."""
    page = (PROJECT / "docs/standards.md").read_text()
    told = [
        tuple(map(int, found))
        for found in re.findall(r"^(\d+) of (\d+) lines kept\.$", page, re.MULTILINE)
    ]
    counted = [
        (sum(answer.strip().startswith(KEPT) for _, answer, _ in rows), len(rows))
        for section in page.split("\n## ")[1:]
        if (rows := [m.groups() for m in map(ROW.match, section.splitlines()) if m])
    ]
    assert told == counted


def test_nothing_committed_names_a_download_host() -> None:
    """Lock files name packages and hashes, and no place to get them from."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert "://" not in (PROJECT / name).read_text()


def test_no_private_key_is_committed() -> None:
    """No file that git tracks holds a private key."""
    found = subprocess.run(
        ["git", "grep", "-lE", "-e", "-----BEGIN ([A-Z]+ )?PRIVATE " + "KEY-----"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
