"""Write Ansible's recap, and the diffs of a run, where a test can read them."""

DOCUMENTATION = r"""
name: recap
type: aggregate
short_description: The recap as JSON
description: Writes counts per host, and every diff, to the file E(CERTBOUND_RECAP).
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

    def v2_on_file_diff(self, result: Any) -> None:
        """Keep what a task says it changes."""
        diff = result.result.get("diff")
        if diff and result.result.get("changed"):
            self._diffs.append(diff)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it all down."""
        hosts = {name: stats.summarize(name) for name in stats.processed}
        document = json.dumps({"hosts": hosts, "diffs": self._diffs})
        Path(os.environ["CERTBOUND_RECAP"]).write_text(document)
