"""The action `describe`: written on the controller, by the Python that runs Ansible."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

TOPOLOGY = "topology.yml"  # the name under which the topology is kept
_PRIVATE = 0o600
_PRIVATE_DIRECTORY = 0o700


class ActionModule(ActionBase):
    """Describes what was rolled out, and keeps the topology it came from."""

    _requires_connection = False
    _supports_check_mode = True

    def run(
        self,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Write what differs."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "deployment": {"type": "dict", "required": True},
                "file": {"type": "path", "required": True},
                "topology": {"type": "path", "required": True},
            }
        )
        file = Path(arguments["file"])
        text = json.dumps(arguments["deployment"], indent=4, sort_keys=True)
        diffs = []
        try:
            topology = Path(arguments["topology"]).read_text(encoding="utf-8")
            wanted = {file: text + "\n", file.with_name(TOPOLOGY): topology}
            for path, after in wanted.items():
                before = path.read_text(encoding="utf-8") if path.exists() else ""
                if before != after:
                    diffs.append(_difference(path, before, after))
                    if not self._task.check_mode:
                        _write(path, after)
        except OSError as error:
            return {"failed": True, "msg": f"the deployment is not described: {error}"}
        return {
            "changed": bool(diffs),
            "diff": diffs,
            "files": [str(path) for path in wanted],
        }


def _difference(path: Path, before: str, after: str) -> dict[str, str]:
    return {
        "before_header": str(path),
        "after_header": str(path),
        "before": before,
        "after": after,
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
    temporary.replace(path)
