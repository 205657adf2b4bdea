"""What a person wants to know at the end of a roll-out, on one screen."""

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: Phases, new certificates, tables and the command to run again
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Shows, after the recap, how long each phase and the slowest tasks took, which
    certificates were replaced and why, which processes started, the tables that the
    roll-out reported, and, after a failure, what failed and the command that resumes.
  - Reads the structured results of this collection's modules; a result with C(no_log)
    is not looked at.
requirements:
  - Enable it with C(callbacks_enabled) in C(ansible.cfg).
"""

import os
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

REPORT = "certbound_report"
_SLOWEST = 3  # tasks that are named
_WORTH_NAMING = 1.0  # seconds
_IDLE = ("validate_argument_spec", ".meta")  # actions that do nothing to a host
_LONGEST = 20  # entries of one kind: one screen


@dataclass
class Phase:
    """One play: its name and how long it took."""

    name: str
    began: float
    seconds: float = 0.0
    tasks: int = 0


@dataclass
class Step:
    """One task: its name and how long all hosts took for it."""

    name: str
    began: float
    seconds: float = 0.0


@dataclass
class Seen:
    """What has happened so far."""

    phases: list[Phase] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def note(self, host: str, result: dict[str, Any]) -> None:
        """Take what a result of one of our modules says."""
        for identity in result.get("identities") or []:
            self.reasons[identity["identity"]] = identity["reason"]
        for entry in result.get("installed") or []:
            old = entry["old_serial"] or "none"
            new = entry["serial"] or "a new one"
            until = f" until {entry['not_after']}" if entry["not_after"] else ""
            why = self.reasons.get(entry["identity"])
            because = f" ({why})" if why else ""
            self.replaced.append(f"{entry['identity']}: {old} -> {new}{until}{because}")
        self.started += [f"{name} on {host}" for name in result.get("started") or []]
        self.stopped += [f"{name} on {host}" for name in result.get("stopped") or []]


class CallbackModule(CallbackBase):
    """Collects during the run, speaks once after it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "certbound.kit.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._seen = Seen()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Begin a phase."""
        self._end_phase()
        self._seen.phases.append(Phase(play.get_name(), time.monotonic()))

    def v2_playbook_on_task_start(
        self,
        task: Any,
        is_conditional: bool,  # noqa: ARG002, FBT001 -- the base class's
    ) -> None:
        """Begin a task; a phase counts if it does something, whatever tags leave."""
        self._end_step()
        name = task.get_name().rpartition(" : ")[2]  # without its role
        self._seen.steps.append(Step(name, time.monotonic()))
        if self._seen.phases and not task.action.endswith(_IDLE):
            self._seen.phases[-1].tasks += 1

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take note of what a module of ours has done."""
        task, said = parts_of(result)
        if task.action.startswith("certbound.kit.") and not said.get("_ansible_no_log"):
            self._seen.note(result.host.get_name(), said)

    def v2_runner_on_failed(
        self,
        result: Any,
        ignore_errors: bool = False,  # noqa: FBT001, FBT002 -- the base class's
    ) -> None:
        """Remember what failed."""
        if not ignore_errors:
            task, said = parts_of(result)
            # What a command has to say is on its standard error.
            why = str(said.get("stderr") or said.get("msg") or "failed")
            self._fail(result, f"{task.get_name()}: {why.strip().splitlines()[-1]}")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Remember what could not be reached."""
        task, said = parts_of(result)
        self._fail(result, f"{task.get_name()}: unreachable: {said.get('msg', '')}")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Say it all."""
        self._end_phase()
        for line in summary_lines(self._seen):
            self._display.display(line)
        report = stats.custom.get("_run", {}).get(REPORT)
        if report:
            self._display.display("\n" + str(report).rstrip() + "\n")
        if self._seen.failed:
            for line in ("Failed:", *self._seen.failed):
                self._display.display(line, color="red")
            self._display.display(f"Run again: {rerun_command()}")

    def _fail(self, result: Any, what: str) -> None:
        self._seen.failed.append(f"  {result.host.get_name()}: {what}")

    def _end_step(self) -> None:
        if self._seen.steps:
            step = self._seen.steps[-1]
            step.seconds = step.seconds or time.monotonic() - step.began

    def _end_phase(self) -> None:
        self._end_step()
        if self._seen.phases:
            phase = self._seen.phases[-1]
            phase.seconds = phase.seconds or time.monotonic() - phase.began


def parts_of(result: Any) -> tuple[Any, dict[str, Any]]:
    """Return the task of a result, and what it answered."""
    return result.task, result.result


def summary_lines(seen: Seen) -> list[str]:
    """Return the lines on phases, certificates and processes."""
    total = sum(phase.seconds for phase in seen.phases)
    phases = ", ".join(
        f"{p.name.lower()} {p.seconds:.1f} s" for p in seen.phases if p.tasks
    )
    lines = [f"{total:.1f} s: {phases}"]
    slow = [step for step in seen.steps if step.seconds > _WORTH_NAMING]
    slow.sort(key=lambda step: -step.seconds)
    named = [f"{step.name} {step.seconds:.1f} s" for step in slow[:_SLOWEST]]
    if named:
        lines.append(f"Slowest: {'; '.join(named)}")
    if context.CLIARGS.get("check"):
        lines.append("Check mode: nothing was changed; this is what would be.")
    for title, entries in (
        ("Certificates", seen.replaced),
        ("Started", seen.started),
        ("Stopped", seen.stopped),
    ):
        if entries:
            lines.append(f"{title}:")
            lines += [f"  {entry}" for entry in entries[:_LONGEST]]
            if len(entries) > _LONGEST:
                lines.append(f"  and {len(entries) - _LONGEST} more")
    return lines


def rerun_command() -> str:
    """Return the command that was typed, which converges from wherever it stopped.

    Where Ansible was started by another command, E(CERTBOUND_VIA) names that.
    """
    program, *arguments = sys.argv
    here = Path.cwd()
    path = Path(program)
    if path.is_absolute() and path.is_relative_to(here):
        path = path.relative_to(here)
    via = shlex.split(os.environ.get("CERTBOUND_VIA", ""))
    return shlex.join([*via, str(path), *arguments])
