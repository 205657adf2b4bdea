#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Certificates and process configurations, put in place on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_install
short_description: Install certificates as new generations, and configurations
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Puts each issued certificate beside the key it was made for, checks that it belongs
    to that key, leads to the trust bundle, carries the right names and is valid now,
    and then swaps one symlink; a process sees the old generation or the new one.
  - Keeps a few old generations. What fails a check is not installed, and what was
    there before stays.
  - Writes the configuration documents of the host's processes, each in one step.
  - Needs C(openssl) 1.1.1 or later and nothing else beside Python.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.identities
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Serials and dates of certificates, and the configurations, which hold no
      secret.
  platform:
    platforms: posix
options:
  verdicts:
    description: RV(certbound.kit.identity_issue#module:results); those of other hosts
      are passed over.
    type: list
    elements: dict
    default: []
  trust_bundle:
    description: The root certificates of the trust domain, in PEM.
    type: str
  keep:
    description: How many old generations stay.
    type: int
    default: 3
  checkpoint:
    description: A file that keeps what was in place before, until the new is known to
      be served (M(certbound.kit.served)) or taken back (M(certbound.kit.revert)).
    type: path
  ledger_head:
    description: The newest signed head of the CA's ledger, which this host keeps; empty
      if the CA has signed none. Not given where the CA was not asked. A head that is
      older than the one kept here ends the module before anything is installed.
      To keep a newer one counts as no change of the host.
    type: dict
  ledger_witness:
    description: Where it is kept.
    type: path
  ledger_witness_replace:
    description: Keep the CA's head whatever is kept here, and put that beside. For the
      day after a backup was restored with a loss that somebody has accepted.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install certificates and configurations
  certbound.kit.identity_install:
    identities: "{{ certbound_identities }}"
    verdicts: "{{ certbound_issue.results }}"
    trust_bundle: "{{ certbound_issue.trust_bundle }}"
    processes: "{{ certbound_processes }}"
    checkpoint: "{{ certbound_root }}/checkpoint.json"
"""

RETURN = r"""
installed:
  description: One entry for each new generation.
  type: list
  elements: dict
  returned: success
  contains:
    identity:
      description: The name of the identity.
      type: str
    old_serial:
      description: Serial of the certificate before, or null.
      type: str
    serial:
      description: Serial of the certificate now; null in check mode.
      type: str
    not_after:
      description: Its end; null in check mode.
      type: str
configured:
  description: The processes whose configuration changed.
  type: list
  elements: str
  returned: success
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    IDENTITIES,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.checkpoint import (
    remember_identities,
)
from ansible_collections.certbound.kit.plugins.module_utils.configurations import (
    configure,
)
from ansible_collections.certbound.kit.plugins.module_utils.generation import (
    NotInstalledError,
    current_serial,
    install,
)
from ansible_collections.certbound.kit.plugins.module_utils.openssl import OpensslError
from ansible_collections.certbound.kit.plugins.module_utils.owner import (
    NoSuchUserError,
    acting_as,
)
from ansible_collections.certbound.kit.plugins.module_utils.witness import (
    WitnessError,
    keep_witness,
)


def due(params: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return this host's identities that the CA has answered, with the answers."""
    own = {identity["identity"]: identity for identity in params["identities"]}
    return [
        (own[verdict["identity"]], verdict)
        for verdict in params["verdicts"]
        if verdict["identity"] in own and verdict["verdict"] != "refused"
    ]


def install_all(
    params: dict[str, Any], *, check_only: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Install every verdict that is this host's; return entries and refusals."""
    installed, refused = [], []
    for identity, verdict in due(params):
        try:
            with acting_as(identity["owner"], check=check_only):
                entry = {
                    "identity": identity["identity"],
                    "old_serial": current_serial(identity),
                    "serial": None,
                    "not_after": None,
                }
                if not check_only:
                    new = install(
                        identity, verdict, params["trust_bundle"], keep=params["keep"]
                    )
                    entry.update(serial=new.serial, not_after=verdict["not_after"])
        except (NotInstalledError, NoSuchUserError, OpensslError, OSError) as error:
            refused.append("{}: {}".format(identity["identity"], error))
            continue
        installed.append(entry)
    return installed, refused


def configure_all(
    params: dict[str, Any], *, check_only: bool
) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """Write every configuration; return differences, names changed, and refusals."""
    diffs, configured, refused = [], [], []
    for one in params["processes"]:
        try:
            with acting_as(one["owner"], check=check_only):
                before, after = configure(one, check_only=check_only)
        except (NoSuchUserError, OSError) as error:
            refused.append("{}: {}".format(one["config"], error))
            continue
        if before != after:
            configured.append(one["name"])
            header = {"before_header": one["config"], "after_header": one["config"]}
            diffs.append(dict(header, before=before, after=after))
    return diffs, configured, refused


def difference(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Return the serials before and after."""
    before, after = [], []
    for entry in entries:
        name = entry["identity"]
        before.append("{}: {}\n".format(name, entry["old_serial"] or "no certificate"))
        new = entry["serial"] or "a new certificate"
        until = " until {}".format(entry["not_after"]) if entry["not_after"] else ""
        after.append(f"{name}: {new}{until}\n")
    return {
        "before_header": "serials",
        "after_header": "serials",
        "before": "".join(before),
        "after": "".join(after),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "identities": IDENTITIES,
            "verdicts": {"type": "list", "elements": "dict", "default": []},
            "trust_bundle": {"type": "str"},
            "processes": PROCESSES,
            "keep": {"type": "int", "default": 3},
            "checkpoint": {"type": "path"},
            "ledger_head": {"type": "dict"},
            "ledger_witness": {"type": "path"},
            "ledger_witness_replace": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    os.umask(0o077)
    params, check = module.params, module.check_mode
    try:
        keep_witness(params, check_only=check)
    except (WitnessError, OSError) as error:
        module.fail_json(msg=f"not installed: {error}")
    _, foreseen, _ = configure_all(params, check_only=True)
    if params["checkpoint"] and not check and (due(params) or foreseen):
        try:
            remember_identities(params["checkpoint"], params["processes"])
        except OSError as error:
            module.fail_json(msg=f"not installed: {params['checkpoint']}: {error}")
    installed, refused = install_all(params, check_only=check)
    diffs, configured, unwritten = configure_all(params, check_only=check)
    if refused or unwritten:
        module.fail_json(
            msg="not installed: " + "; ".join(refused + unwritten), installed=installed
        )
    module.exit_json(
        changed=bool(installed or configured),
        installed=installed,
        configured=configured,
        diff=[difference(installed), *diffs],
    )


if __name__ == "__main__":
    main()
