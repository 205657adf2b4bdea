"""The house: rooms stand on floors, and a room imports only from floors below it.

`docs/architecture.md` draws it. What one can see in the drawing is a security property:
what verifies never loads the code that signs.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

# From the ground up. A room is a module or a folder; the longest name that fits counts.
FLOORS = [
    {
        "pki.errors",
        "pki.clock",
        "pki.canonical",
        "pki.entry",
        "pki.serials",
        "pki.tables",
    },
    {"pki.der", "pki.engine", "pki.conformance", "pki.identity", "pki.storage"},
    {"pki.passphrase", "pki.place", "pki.sqlite", "pki.envelope", "pki.pkcs11"},
    {"pki.archive", "pki.postgresql", "pki.unsigned"},
    {"pki.database"},
    {"pki.path", "pki.published", "pki.listed", "pki.questions"},
    {"pki.ledger"},
    {"pki.pointers", "pki.profile", "pki.rotation_steps"},
    {"pki.leaf", "pki.lint_pointers"},
    {"pki.lint_shared", "pki.lint_values"},
    {
        "pki.keys",
        "pki.layout",
        "pki.lint",
        "pki.policy",
        "pki.profiles",
        "pki.request",
        "pki.revocation",
        "pki.revocation_list",
        "pki.trust",
    },
    {
        "pki.path_revocation",
        "pki.lint_crl",
        "pki.responder",
        "pki.bundle",
        "pki.keyring",
        "pki.shared_key",
        "pki.present",
    },
    {"pki.ocsp", "pki.signing", "pki.bundle_series"},
    {"pki.crl_series"},
    {
        "pki.certifying",
        "pki.inspection",
        "pki.publication",
        "pki.witness",
    },
    {"pki.decision", "pki.founding", "pki.backup", "pki.ceremony", "pki.ml_dsa"},
    {"pki.inventory", "pki.restoring"},
    {"pki.authority", "pki.laggards", "pki.successors"},
    {"pki.upkeep"},
    {"pki.withdrawal"},
    {"pki.rotation"},
    {"pki.report", "pki.command"},
    {
        "pki.backup_command",
        "pki.ceremony_command",
        "pki.inventory_command",
        "pki.ledger_command",
        "pki.ml_dsa_command",
        "pki.revocation_command",
        "pki.rotation_command",
    },
    {"pki.__main__"},
    {"services.tally"},
    {"services.errors", "services.log", "services.metrics", "services.rates"},
    {"services.openapi", "services.audit", "services.buckets"},
    {"services.watched", "services.jwk"},
    {"services.registration"},
    {"services.fapi2", "services.revocation_config"},
    {"services.federation_config"},
    {"services.wire", "services.config", "services.state"},
    {"services.proof", "services.operations"},
    {
        "services.token",
        "services.guard",
        "services.enrolment",
        "services.renewal",
    },
    {
        "services.samples",
        "services.attempt",
        "services.deployment",
        "services.description",
        "services.following",
        "services.gateway",
        "services.key_exchange",
    },
    {"services.probe", "services.refusals", "services.drill"},
    {"services.report", "services.process"},
    {"services.__main__"},
]
# services stand on pki, but only on what verifies.
LENT_TO_SERVICES = {
    "pki.identity",
    "pki.trust",
    "pki.bundle",
    "pki.revocation_list",
    "pki.path_revocation",
    "pki.clock",
    "pki.errors",
    "pki.pointers",
}
# The CA's front signs. Who renews its own certificate writes files as the CA does.
LENT_TO = {
    "services.enrolment": {
        "pki.authority",
        "pki.bundle_series",
        "pki.database",
        "pki.decision",
        "pki.keyring",
        "pki.layout",
        "pki.ledger",
        "pki.ocsp",
        "pki.passphrase",
        "pki.pointers",
        "pki.present",
        "pki.publication",
        "pki.published",
        "pki.request",
        "pki.signing",
        "pki.storage",
        "pki.upkeep",
    },
    "services.renewal": {"pki.storage"},
    "services.following": {"pki.storage"},
}
SIGNS = {"pki.authority", "pki.keys", "pki.ledger", "pki.profiles", "services.token"}

# What touches the world outside is known by name; the rest decides over values.
MAY_IMPORT = {
    "socket": {"services.probe", "services.wire.manager", "services.wire.server"},
    "pkcs11": {"pki.pkcs11.key", "pki.pkcs11.session"},
    "psycopg": {"pki.postgresql"},
    "sqlite3": {"pki.sqlite", "services.state.database", "services.state.sqlite"},
    "ssl": {
        "services.attempt",
        "services.drill.bearer_api",
        "services.key_exchange",
        "services.probe",
        "services.report.versions",
        "services.wire.client",
        "services.wire.extension",
        "services.wire.grace",
        "services.wire.looked_at",
        "services.following",
        "services.wire.tls",
        "services.wire.web",
    },
    "subprocess": {"services.key_exchange"},
    "time": {
        "pki.clock",
        "services.drill.stage",
        "services.probe",
        "services.refusals",
        "services.buckets",
        "services.log",
        "services.metrics",
        "services.renewal.attempt",
        "services.tally",
        "services.token.own_keys",
        "services.watched",
        "services.wire.bundles",
        "services.wire.federation",
        "services.wire.generation",
    },
}

LONGEST_FILE = 300  # lines
LONGEST_FUNCTION = 50  # lines


def _sources() -> Iterator[tuple[str, Path]]:
    for package in ("pki", "services"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            parts = path.relative_to(PROJECT).with_suffix("").parts
            if parts[-1] != "__init__":
                yield ".".join(parts), path


SOURCES = dict(_sources())


def _imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything a file imports, typing-only ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def _room(module: str) -> str | None:
    rooms = [
        room
        for floor in FLOORS
        for room in floor
        if module == room or module.startswith(f"{room}.")
    ]
    return max(rooms, key=len, default=None)


def _floor(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def _own(path: Path) -> Iterator[str]:
    for name in _imports(path):
        if name.split(".")[0] in {"pki", "services"}:
            yield name


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_has_a_room(module: str) -> None:
    """No file of the two packages stands outside the drawing."""
    assert _room(module), f"{module} is in no room of FLOORS"


@pytest.mark.parametrize("module", SOURCES)
def test_arrows_point_down(module: str) -> None:
    """A room imports from lower floors, or from its own folder."""
    here = _room(module)
    assert here
    for name in _own(SOURCES[module]):
        there = _room(name)
        assert there, f"{module} imports {name}, which is in no room"
        assert there == here or _floor(there) < _floor(here), (
            f"{module} (floor {_floor(here)}) imports {name} (floor {_floor(there)})"
        )


@pytest.mark.parametrize("module", SOURCES)
def test_services_stand_only_on_what_verifies(module: str) -> None:
    """Services borrow names, trust and the clock from the CA's package, no more."""
    if module.startswith("services."):
        rooms = {_room(name) for name in _own(SOURCES[module])}
        borrowed = {room for room in rooms if room and room.startswith("pki.")}
        assert borrowed <= LENT_TO_SERVICES | LENT_TO.get(_room(module) or "", set())


@pytest.mark.parametrize("module", SOURCES)
def test_the_world_outside_is_touched_by_name(module: str) -> None:
    """Sockets, processes, databases and the clock belong to the files named above."""
    for name in _imports(SOURCES[module]):
        allowed = MAY_IMPORT.get(name.split(".")[0])
        assert allowed is None or module in allowed, f"{module} imports {name}"


def test_what_verifies_never_loads_what_signs() -> None:
    """A process that guards a service has no signing code in it at run time."""
    script = (
        "import sys, services.guard.middleware, services.samples.orders\n"
        "import services.gateway.app\n"
        f"print(sorted({SIGNS!r} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    assert loaded.stdout.strip() == "[]"


def test_only_the_cas_front_loads_what_signs_certificates() -> None:
    """A process of another kind has none of it in it, whatever it could be told."""
    script = (
        "import sys, services.process, services.renewal.task, services.token.app\n"
        "import services.gateway.app, services.guard.workload\n"
        f"print(sorted({SIGNS - {'services.token'}!r} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    assert loaded.stdout.strip() == "[]"


def test_a_process_loads_what_its_kind_needs() -> None:
    """What runs one loads no kind of process before the document says which."""
    rooms = ("token", "guard", "gateway", "enrolment", "samples", "description")
    kinds = {f"services.{room}" for room in rooms}
    script = (
        f"import sys, services.process\nprint(sorted({kinds!r} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["pki", "services"])
def test_packages_export_nothing(package: str) -> None:
    """Every name is imported from the file that defines it."""
    for path in (PROJECT / package).rglob("__init__.py"):
        assert not path.read_text().strip(), f"{path} is not empty"


@pytest.mark.parametrize("module", SOURCES)
def test_files_and_functions_stay_small(module: str) -> None:
    """A file is one noun and a function one verb; what has grown is to be split."""
    text = SOURCES[module].read_text()
    assert len(text.splitlines()) <= LONGEST_FILE, module
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{module}.{node.name}: {length} lines"
