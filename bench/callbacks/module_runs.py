"""Writes down each module that ran on a host: `host action`, a line each.

Ansible loads it for `bench.rollout`; the file is named by CERTBOUND_BENCH_RUNS.
"""

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: module_runs
type: aggregate
short_description: writes down each module that ran on a host
description: [For the benchmarks.]
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Knows a module by what every one of them says: how it was called."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "module_runs"

    def v2_runner_on_ok(self, result: Any) -> None:
        """Write one down."""
        if "invocation" not in result._result:  # noqa: SLF001 - of every callback
            return
        where = result._host.get_name()  # noqa: SLF001 - as above
        with Path(os.environ["CERTBOUND_BENCH_RUNS"]).open("a") as file:
            file.write(f"{where} {result._task.action}\n")  # noqa: SLF001 - as above
