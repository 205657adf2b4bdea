"""The summary after a run says what a person needs, in few lines."""

import sys
from pathlib import Path

import pytest
from ansible_collections.certbound.kit.plugins.callback.summary import (
    Phase,
    Seen,
    Step,
    rerun_command,
    summary_lines,
)


def test_phases_are_timed() -> None:
    """Each play is a phase with its time, and the sum comes first."""
    phases = [Phase("Enrolment", 0, 2.04, 3), Phase("Drill", 0, 3.5, 1)]
    seen = Seen(phases=[*phases, Phase("Left out by its tag", 0)])
    assert summary_lines(seen) == ["5.5 s: enrolment 2.0 s, drill 3.5 s"]


def test_certificates_are_shown_old_and_new() -> None:
    """A new certificate is shown with the serial before it and its end."""
    seen = Seen()
    seen.note(
        "localhost",
        {
            "installed": [
                {
                    "identity": "orders@localhost",
                    "old_serial": "1a",
                    "serial": "2b",
                    "not_after": "2026-11-23T18:05:52Z",
                },
                {
                    "identity": "stock@localhost",
                    "old_serial": None,
                    "serial": None,
                    "not_after": None,
                },
            ]
        },
    )
    assert summary_lines(seen)[1:] == [
        "Certificates:",
        "  orders@localhost: 1a -> 2b until 2026-11-23T18:05:52Z",
        "  stock@localhost: none -> a new one",
    ]


def test_certificates_are_shown_with_their_reason() -> None:
    """Why a certificate was replaced stands behind it."""
    seen = Seen()
    due = "less than 8:00:00 left"
    seen.note("one", {"identities": [{"identity": "orders@one", "reason": due}]})
    entry = {"identity": "orders@one", "old_serial": "1a", "serial": "2b"}
    seen.note("one", {"installed": [{**entry, "not_after": None}]})
    assert summary_lines(seen)[1:] == [
        "Certificates:",
        "  orders@one: 1a -> 2b (less than 8:00:00 left)",
    ]


def test_the_slowest_tasks_are_named() -> None:
    """Three tasks are named with their time, the slowest first, and none below 1 s."""
    steps = [Step("a", 0, 0.9), Step("b", 0, 3), Step("c", 0, 9), Step("d", 0, 0.1)]
    assert summary_lines(Seen(steps=steps))[1:] == ["Slowest: c 9.0 s; b 3.0 s"]
    many = Seen(steps=[Step(str(size), 0, size) for size in range(2, 9)])
    assert summary_lines(many)[1:] == ["Slowest: 8 8.0 s; 7 7.0 s; 6 6.0 s"]


def test_a_large_fleet_fits_on_one_screen() -> None:
    """Of many certificates or processes the first twenty are named."""
    seen = Seen(started=[f"service-{number} on one" for number in range(1000)])
    lines = summary_lines(seen)
    assert len(lines) == 23
    assert lines[-1] == "  and 980 more"


def test_processes_are_shown_with_their_host() -> None:
    """Started and stopped processes are named."""
    seen = Seen()
    seen.note("one", {"started": ["orders"], "stopped": ["stock"]})
    assert summary_lines(seen)[1:] == [
        "Started:",
        "  orders on one",
        "Stopped:",
        "  stock on one",
    ]


def test_rerun_command_is_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command to run again is quoted, and short where it can be."""
    monkeypatch.chdir(tmp_path)
    command = str(tmp_path / "bin" / "ansible-playbook")
    monkeypatch.setattr(sys, "argv", [command, "site.yml", "-e", "a=b c"])
    assert rerun_command() == "bin/ansible-playbook site.yml -e 'a=b c'"


def test_rerun_command_begins_with_what_started_ansible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the lab Ansible runs inside another command, which is named too."""
    monkeypatch.setenv("CERTBOUND_VIA", "python -m tests.lab run")
    monkeypatch.setattr(sys, "argv", ["ansible-playbook", "site.yml"])
    assert rerun_command() == "python -m tests.lab run ansible-playbook site.yml"
