"""The action `release_install`: sends the archive only to a host that lacks it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

_ARCHIVE = "archive"


class ActionModule(ActionBase):
    """Asks the host first, then sends, then has it installed."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(
        self,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run the module, twice if there is something to send."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        here = arguments.pop(_ARCHIVE)
        asked = self._install(arguments, task_vars)
        if self._task.check_mode or asked.get("failed") or not asked.get("wanting"):
            return asked
        directory = self._make_tmp_path()
        try:
            there = self._connection._shell.join_path(directory, "release.tar")  # noqa: SLF001 -- the interface action plugins have
            self._transfer_file(here, there)
            self._fixup_perms2((directory, there))
            return self._install({**arguments, _ARCHIVE: there}, task_vars)
        finally:
            self._remove_tmp_path(directory)

    def _install(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="certbound.kit.release_install",
            module_args=arguments,
            task_vars=task_vars,
        )
        return answer
