"""The action `revocation`: hands the passphrase of the CA's key over."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.certbound.kit.plugins.plugin_utils import passphrases


class ActionModule(ActionBase):
    """Runs the module on the CA's host with the passphrase, in check mode without."""

    _supports_check_mode = True

    def run(
        self,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run the module."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        file = arguments.pop("issuing_passphrase_file")
        if not self._task.check_mode:
            try:
                held = passphrases.read(file, self._loader)
            except (passphrases.PassphraseError, OSError) as error:
                return {"failed": True, "msg": f"nothing was revoked: {error}"}
            arguments[passphrases.ISSUING] = held
        answer: dict[str, Any] = self._execute_module(
            module_name="certbound.kit.revocation",
            module_args=arguments,
            task_vars=task_vars,
        )
        return answer
