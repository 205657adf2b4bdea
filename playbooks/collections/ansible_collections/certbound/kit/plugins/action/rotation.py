"""The action `rotation`: hands the CA's passphrases over where a verb needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.certbound.kit.plugins.plugin_utils import passphrases

_OPTIONS = {
    passphrases.ROOT: "root_passphrase_file",
    passphrases.ISSUING: "issuing_passphrase_file",
}


class ActionModule(ActionBase):
    """Runs the module on the CA's host with the passphrases, in check mode without."""

    _supports_check_mode = True

    def run(
        self,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run the module."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = {name: arguments.pop(o, None) for name, o in _OPTIONS.items()}
        if arguments.get("verb") != "show" and not self._task.check_mode:
            try:
                arguments |= {
                    name: passphrases.read(file, self._loader)
                    for name, file in files.items()
                    # That of an offline root is not here; the CA says if it takes it.
                    if file and Path(file).exists()
                }
            except (passphrases.PassphraseError, OSError) as error:
                return {"failed": True, "msg": f"rotation: {error}"}
        answer: dict[str, Any] = self._execute_module(
            module_name="certbound.kit.rotation",
            module_args=arguments,
            task_vars=task_vars,
        )
        return answer
