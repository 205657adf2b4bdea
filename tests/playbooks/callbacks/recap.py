"""Write Ansible's recap, and the diffs of a run, where a test can read them."""

DOCUMENTATION = r"""
name: recap
type: aggregate
short_description: The recap as JSON
description: Writes counts per host, diffs and modules to the file E(CERTBOUND_RECAP).
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Collects diffs, writes once."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "recap"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._diffs: list[Any] = []
        self._modules: list[str] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        """Write down a module that ran: each says how it was called."""
        if "invocation" in result.result:
            self._modules.append(f"{result.host.get_name()} {result.task.action}")

    def v2_on_file_diff(self, result: Any) -> None:
        """Keep what a task says it changes."""
        diff = result.result.get("diff")
        if diff and result.result.get("changed"):
            self._diffs.append(diff)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it all down."""
        hosts = {name: stats.summarize(name) for name in stats.processed}
        document = json.dumps(
            {"hosts": hosts, "diffs": self._diffs, "modules": self._modules}
        )
        Path(os.environ["CERTBOUND_RECAP"]).write_text(document)
