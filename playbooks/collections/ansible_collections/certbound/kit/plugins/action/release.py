"""The action `release`: made on the controller, by the Python that runs Ansible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.certbound.kit.plugins.plugin_utils.release.build import (
    make,
    release_of,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.release.lock import (
    ReleaseError,
    Target,
)

_DISPLAY = Display()


class ActionModule(ActionBase):
    """Has a release for every kind of host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(
        self,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make what is missing; say how it goes."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "project": {"type": "path", "required": True},
                "directory": {"type": "path", "required": True},
                "targets": {"type": "list", "elements": "str", "required": True},
                "tokens": {"type": "bool", "default": False},
            }
        )
        project, directory = Path(arguments["project"]), Path(arguments["directory"])
        releases, made = {}, []
        try:
            for name in arguments["targets"]:
                release = release_of(
                    project,
                    directory,
                    Target.parse(name),
                    tokens=arguments["tokens"],
                )
                if not release.is_made:
                    made.append(f"{name}: {release.digest}\n")
                    if not self._task.check_mode:
                        make(release, project, _say)
                releases[name] = {
                    "digest": release.digest,
                    "archive": str(release.archive),
                    "sbom": str(release.sbom),
                }
        except ReleaseError as error:
            return {"failed": True, "msg": str(error)}
        return {
            "changed": bool(made),
            "releases": releases,
            "diff": {"before": "", "after": "".join(made)},
        }


def _say(line: str) -> None:
    _DISPLAY.display(f"  {line}")
