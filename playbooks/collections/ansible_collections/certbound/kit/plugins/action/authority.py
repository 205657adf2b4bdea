"""The action `authority`: hands the CA's passphrases over, if they are needed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.certbound.kit.plugins.plugin_utils import passphrases

_OPTIONS = {
    passphrases.ROOT: "root_passphrase_file",
    passphrases.ISSUING: "issuing_passphrase_file",
}


class ActionModule(ActionBase):
    """Asks first; a CA that is as it should be is told no passphrase."""

    _supports_check_mode = True

    def run(
        self,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run the module, and once more with the passphrases if it wants them."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = {name: arguments.pop(option) for name, option in _OPTIONS.items()}
        answer = self._authority(arguments, task_vars)
        wanting = answer.pop("wanting", None)
        if not wanting:
            return answer
        try:
            for name, sealed in wanting.items():
                passphrases.ensure(files[name], sealed=sealed)
            held = {n: passphrases.read(files[n], self._loader) for n in wanting}
        except (passphrases.PassphraseError, OSError) as error:
            return {"failed": True, "msg": f"certificate authority: {error}"}
        return self._authority({**arguments, **held}, task_vars)

    def _authority(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="certbound.kit.authority",
            module_args=arguments,
            task_vars=task_vars,
        )
        return answer
