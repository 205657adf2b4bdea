"""What the lab asks of a machine: where it is missing, the reason is said."""

import os

import pytest

from tests.lab import command, group, requirements
from tests.lab.errors import UnavailableError


def test_without_root_there_is_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not root is told so before anything is tried."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="the lab needs root"):
        requirements.check()


def test_without_a_control_group_hierarchy_there_is_no_lab(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine with the old hierarchies alone cannot boot these hosts."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(group, "hierarchy", lambda: None)
    with pytest.raises(UnavailableError, match="control group hierarchy"):
        requirements.check()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is missing is named by the Debian package it comes in."""
    monkeypatch.setitem(command.ENVIRONMENT, "PATH", "/nowhere")
    missing = requirements.missing_packages()
    assert "systemd-container" in missing
    assert "mmdebstrap" in missing
