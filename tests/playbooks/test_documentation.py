"""What a module documents is what it takes: option by option."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULES = (
    "accounts",
    "authority",
    "credential",
    "identity_install",
    "identity_issue",
    "identity_request",
    "known_keys",
    "preflight",
    "release_install",
    "revert",
    "revocation",
    "rotation",
    "rotation_evidence",
    "served",
    "signing_keys",
    "supervised",
    "units",
)
# Actions, whose files document and run nothing.
ON_THE_CONTROLLER = {"describe", "release"}
PACKAGE = "ansible_collections.certbound.kit.plugins.modules"


class Taken(Exception):  # noqa: N818 -- it carries what was asked for
    """Raised in place of running a module: its arguments."""


@pytest.fixture(scope="module")
def documented(project: Path) -> dict[str, Any]:
    """Return what ansible-doc shows of each module, doc fragments included."""
    names = [f"certbound.kit.{name}" for name in MODULES]
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-doc"), "--json", *names],
        cwd=project,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    shown: dict[str, Any] = json.loads(done.stdout)
    return {name.rpartition(".")[2]: part["doc"] for name, part in shown.items()}


def as_taken(options: dict[str, Any]) -> dict[str, Any]:
    """Return documented options in the form of an argument specification."""
    spec = {}
    for name, option in options.items():
        kept = ("type", "required", "default", "choices", "elements")
        spec[name] = {key: option[key] for key in kept if option.get(key) is not None}
        if "suboptions" in option:
            spec[name]["options"] = as_taken(option["suboptions"])
    return spec


def as_documented(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification without what documentation does not show."""
    shown = {}
    for name, option in spec.items():
        shown[name] = {key: value for key, value in option.items() if key != "no_log"}
        if "options" in option:
            shown[name]["options"] = as_documented(option["options"])
    return shown


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(
    documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Names, types, defaults and choices of all options match, at every depth."""
    module = importlib.import_module(f"{PACKAGE}.{name}")

    def take(**arguments: Any) -> None:
        assert arguments["supports_check_mode"]
        raise Taken(arguments["argument_spec"])

    monkeypatch.setattr(module, "AnsibleModule", take)
    with pytest.raises(Taken) as taken:
        module.main()
    (spec,) = taken.value.args
    assert as_taken(documented[name]["options"]) == as_documented(spec)


def test_every_module_is_looked_at(kit: Path) -> None:
    """The list above names every module of the collection."""
    present = {path.stem for path in (kit / "plugins" / "modules").glob("*.py")}
    assert present == set(MODULES) | ON_THE_CONTROLLER
