#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The identities of a host: which need a certificate, and a request for each."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_request
short_description: Make keys and requests for the identities that need a certificate
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Looks at the certificate of every identity of this host and says which must be
    issued, and why. For those it makes a P-256 key and a certificate request.
  - A key is made by C(openssl) in the directory of its owner and never leaves it. It is
    neither read into this module nor returned.
  - If it is told how the host's processes run, it also looks whether all else on the
    host is as it should be already, live ports included, so that a day on which nothing
    has changed needs no further module (RV(in_the_way)).
  - Needs C(openssl) 1.1.1 or later and nothing else beside Python.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.identities
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
    details: Says what would be issued and why; there is no request without a key.
  diff_mode:
    support: full
    details: Serials, dates, names and reasons; never a key.
  platform:
    platforms: posix
options:
  renew_before:
    description: A certificate with less than this left, in seconds, is renewed.
    type: int
    required: true
  trusted_roots:
    description:
      - SHA-256 of the roots that are trusted now. A certificate beside another trust
        bundle is replaced. Empty means that the CA does not exist yet or was not asked.
    type: list
    elements: str
    default: []
  issuer:
    description: The identifier of the key that signs now, in hexadecimal. A certificate
      by another is replaced.
    type: str
  issued_after:
    description: A certificate that begins before this moment (RFC 3339, UTC) is
      replaced.
    type: str
  supervised:
    description: The options of M(certbound.kit.supervised), if that runs the processes.
    type: dict
    suboptions:
      root:
        description: As there.
        type: path
        required: true
      interpreter:
        description: As there.
        type: path
        required: true
      chdir:
        description: As there.
        type: path
        required: true
      sources:
        description: As there.
        type: list
        elements: path
        default: []
  units:
    description: The options of M(certbound.kit.units), if that runs the processes.
    type: dict
    suboptions:
      releases:
        description: As there.
        type: path
        required: true
      digest:
        description: As there.
        type: str
        required: true
  checkpoint:
    description: As in M(certbound.kit.identity_install).
    type: path
  ledger_head:
    description: As in M(certbound.kit.identity_install). Kept here if nothing is in the
      way.
    type: dict
  ledger_witness:
    description: As in M(certbound.kit.identity_install).
    type: path
  ledger_witness_replace:
    description: As in M(certbound.kit.identity_install).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make keys and requests
  certbound.kit.identity_request:
    identities: "{{ certbound_identities }}"
    renew_before: 28800
    trusted_roots: "{{ authority_present.trusted_roots }}"
    issuer: "{{ authority_present.issuer }}"
  register: certbound_requests
"""

RETURN = r"""
identities:
  description: One entry for each identity, in the order given.
  type: list
  elements: dict
  returned: success
  contains:
    identity:
      description: The name of the identity.
      type: str
    needs_issue:
      description: Whether a certificate must be issued.
      type: bool
    reason:
      description: Why, or null.
      type: str
    csr:
      description: The request in PEM; null if none is needed, or in check mode if there
        is no key yet.
      type: str
    spki_sha256:
      description: SHA-256 of the public key; null where there is no key.
      type: str
    current_serial:
      description: Serial of the present certificate in hexadecimal, or null.
      type: str
    not_after:
      description: Its end, or null.
      type: str
in_the_way:
  description: Why further modules have to run on this host; null if it may rest.
  type: str
  returned: success
"""

import calendar
import os
import shutil
import time
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    IDENTITIES,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.files import (
    ensure_private_directory,
    ensure_private_file,
    read_text,
    sync_directory,
    take_private,
)
from ansible_collections.certbound.kit.plugins.module_utils.identity import (
    Paths,
    Wanted,
    examine,
    moment,
)
from ansible_collections.certbound.kit.plugins.module_utils.openssl import (
    OpensslError,
    make_key,
    make_request,
    names_of,
    public_key_of_key,
    read_request,
)
from ansible_collections.certbound.kit.plugins.module_utils.owner import (
    NoSuchUserError,
    acting_as,
)
from ansible_collections.certbound.kit.plugins.module_utils.rest import in_the_way

_SUPERVISED = {
    "root": {"type": "path", "required": True},
    "interpreter": {"type": "path", "required": True},
    "chdir": {"type": "path", "required": True},
    "sources": {"type": "list", "elements": "path", "default": []},
}
_UNITS = {
    "releases": {"type": "path", "required": True},
    "digest": {"type": "str", "required": True},
}


class Pending(NamedTuple):
    """A key and a request that wait for the CA."""

    changed: bool
    csr: str | None
    spki_sha256: str | None


def ensure_pending(
    identity: dict[str, Any], paths: Paths, *, check: bool = False
) -> Pending:
    """Have a key and a request for the identity; use what a broken run has left."""
    key = os.path.join(paths.pending, "key.pem")
    request = os.path.join(paths.pending, "request.pem")
    spki = _usable(key)
    if spki and _asks_for(request, names_of(identity)):
        return Pending(changed=False, csr=read_text(request), spki_sha256=spki)
    if check:
        return Pending(changed=True, csr=None, spki_sha256=spki)
    for directory in (paths.directory, paths.identity, paths.pending):
        ensure_private_directory(directory)
    if not spki:
        # A key that is half-written, by a power cut, is worth nothing to anybody.
        make_key(key + ".new")
        take_private(key)
        spki = public_key_of_key(key)
    make_request(key, names_of(identity), request + ".new")
    take_private(request)
    # What the CA signs takes the place of the present certificate: its key must last.
    sync_directory(paths.identity)
    return Pending(changed=True, csr=read_text(request), spki_sha256=spki)


def unfinished(identity: dict[str, Any], paths: Paths) -> str | None:
    """Return that a run was broken off, if the CA may have signed what waits, or None.

    What it signed took the place of the certificate here, which renews itself no more.
    """
    key = os.path.join(paths.pending, "key.pem")
    request = os.path.join(paths.pending, "request.pem")
    if _usable(key) and _asks_for(request, names_of(identity)):
        return "an earlier run was broken off after it had made a request"
    return None


def _usable(key: str) -> str | None:
    try:
        return public_key_of_key(key) if os.path.exists(key) else None
    except OpensslError:
        return None


def _asks_for(request: str, names: list[str]) -> bool:
    try:
        return os.path.exists(request) and read_request(request) == names
    except OpensslError:
        return False


def ensure_closed(paths: Paths, *, check: bool = False) -> bool:
    """Give directories and the key in use their modes; return whether that changed."""
    changed = False
    for directory in (paths.directory, paths.identity):
        changed |= ensure_private_directory(directory, check=check)
    key = os.path.join(paths.current, "key.pem")
    changed |= ensure_private_file(key, check=check)
    if os.path.isdir(paths.pending):  # of a run that was broken off before its request
        if not check:
            shutil.rmtree(paths.pending)
        changed = True
    return changed


def request(
    identity: dict[str, Any], *, renew_before: int, wanted: Wanted, check: bool
) -> dict[str, Any]:
    """Return what the identity has and needs, having made the request for it."""
    paths = Paths(identity["directory"])
    present = examine(identity, paths, renew_before=renew_before, wanted=wanted)
    certificate = present.certificate
    fault = present.fault or unfinished(identity, paths)
    if fault:
        pending = ensure_pending(identity, paths, check=check)
    else:
        spki = certificate.spki_sha256 if certificate else None
        corrected = ensure_closed(paths, check=check)
        pending = Pending(changed=corrected, csr=None, spki_sha256=spki)
    return {
        "identity": identity["identity"],
        "needs_issue": bool(fault),
        "reason": fault,
        "csr": pending.csr,
        "spki_sha256": pending.spki_sha256,
        "current_serial": certificate.serial if certificate else None,
        "not_after": moment(certificate.not_after) if certificate else None,
        "changed": pending.changed,
    }


def wanted_of(params: dict[str, Any]) -> Wanted:
    """Return what the CA says that certificates should be."""
    after = params["issued_after"]
    # Not strptime's month names: these are digits, which no locale changes.
    began = time.strptime(after, "%Y-%m-%dT%H:%M:%SZ") if after else None
    return Wanted(
        roots=params["trusted_roots"],
        issuer=params["issuer"],
        issued_after=calendar.timegm(began) if began else None,
    )


def difference(results: list[dict[str, Any]]) -> dict[str, str]:
    """Return the identities that change, before and after, in words."""
    before, after = [], []
    for result in results:
        if not result["changed"]:
            continue
        name, serial = result["identity"], result["current_serial"]
        has = "serial {} until {}".format(serial, result["not_after"])
        before.append("{}: {}\n".format(name, has if serial else "no certificate"))
        reason = result["reason"] or "modes of its files corrected"
        needs = "key and request, because: " if result["needs_issue"] else ""
        after.append(f"{name}: {needs}{reason}\n")
    return {"before": "".join(before), "after": "".join(after)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "identities": IDENTITIES,
            "renew_before": {"type": "int", "required": True},
            "trusted_roots": {"type": "list", "elements": "str", "default": []},
            "issuer": {"type": "str"},
            "issued_after": {"type": "str"},
            "processes": PROCESSES,
            "supervised": {"type": "dict", "options": _SUPERVISED},
            "units": {"type": "dict", "options": _UNITS},
            "checkpoint": {"type": "path"},
            "ledger_head": {"type": "dict"},
            "ledger_witness": {"type": "path"},
            "ledger_witness_replace": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("supervised", "units")],
        supports_check_mode=True,
    )
    os.umask(0o077)
    results = []
    for identity in module.params["identities"]:
        try:
            with acting_as(identity["owner"], check=module.check_mode):
                result = request(
                    identity,
                    renew_before=module.params["renew_before"],
                    wanted=wanted_of(module.params),
                    check=module.check_mode,
                )
        except (OpensslError, NoSuchUserError, OSError) as error:
            module.fail_json(msg="{}: {}".format(identity["identity"], error))
        results.append(result)
    diff = difference(results)
    fault = in_the_way(module.params, results, check=module.check_mode)
    changed = [result.pop("changed") for result in results]
    module.exit_json(
        changed=any(changed), identities=results, in_the_way=fault, diff=diff
    )


if __name__ == "__main__":
    main()
