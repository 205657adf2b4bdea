#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What each identity of a host trusts and presents, as its live port shows it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation_evidence
short_description: Say what each identity of this host trusts and presents
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Asks the live port of each process and proxy, over mutual TLS, for its certificate,
    and finds by its serial the generation that was loaded. A process loads a generation
    whole, so the bundle in it is what the process trusts. That is what a phase of a
    rotation needs as proof.
  - An identity whose port presents nothing, or what this host has no generation of,
    is described as it is installed, with C(live) false and the reason.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.identities
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  platform:
    platforms: posix
options:
  proxies:
    description: The proxies of this host, as the role M(certbound.kit.proxy#role) gets
      them; their ports are asked like those of processes.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: See what is trusted and presented
  certbound.kit.rotation_evidence:
    identities: "{{ certbound_identities }}"
    processes: "{{ certbound_processes }}"
    proxies: "{{ certbound_proxies }}"
  register: rotation_seen
"""

RETURN = r"""
evidence:
  description: One entry for each identity, in the order given.
  type: list
  elements: dict
  returned: success
  contains:
    identity:
      description: The name of the identity.
      type: str
    roots:
      description: SHA-256 of each root in the bundle.
      type: list
      elements: str
    issuer:
      description: The identifier of the key that signed it, in hexadecimal.
      type: str
    serial:
      description: The serial of the certificate in hexadecimal, or null.
      type: str
    begins:
      description: When the certificate begins (RFC 3339), or null.
      type: str
    live:
      description: Whether the live port presents it.
      type: bool
    reason:
      description: Why not, or null.
      type: str
    presented:
      description: The serials of what its live ports present, whatever it is.
      type: list
      elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    IDENTITIES,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.files import read_text
from ansible_collections.certbound.kit.plugins.module_utils.handshake import (
    presented,
)
from ansible_collections.certbound.kit.plugins.module_utils.identity import (
    Paths,
    moment,
)
from ansible_collections.certbound.kit.plugins.module_utils.openssl import (
    OpensslError,
    fingerprints,
    read_certificate,
)
from ansible_collections.certbound.kit.plugins.module_utils.owner import (
    NoSuchUserError,
    acting_as,
)


def evidence_of(identity: dict[str, Any], module: AnsibleModule) -> dict[str, Any]:
    """Return what is to be said of an identity; that it cannot be read is an answer."""
    try:
        with acting_as(identity["owner"], check=module.check_mode):
            return look(identity, ports_of(identity, module.params))
    except (OpensslError, NoSuchUserError, OSError) as error:
        return _told(identity["identity"], reason=str(error))


def look(identity: dict[str, Any], ports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the ports of an identity present, and what was loaded with it."""
    paths = Paths(identity["directory"])
    if not os.path.isdir(paths.current):
        return _told(identity["identity"], reason="no certificate yet")
    installed = _loaded(paths.current)
    if not ports:
        reason = "no port to ask"
        return _told(identity["identity"], **installed, reason=reason)
    try:
        name = identity["dns_names"][0]
        found = {presented(port, name, paths.current) for port in ports}
    except OSError as error:
        reason = "port {port} of {address}: {error}".format(error=error, **ports[-1])
        return _told(identity["identity"], **installed, reason=reason)
    told = _compared(identity, paths, installed, found)
    return {**told, "presented": sorted(found)}


def _compared(
    identity: dict[str, Any], paths: Paths, installed: dict[str, Any], found: set[str]
) -> dict[str, Any]:
    if len(found) > 1:
        reason = "its ports present {}".format(" and ".join(sorted(found)))
        return _told(identity["identity"], **installed, reason=reason)
    (serial,) = found
    generation = os.path.join(paths.generations, serial)
    if not os.path.isdir(generation):
        reason = f"it presents {serial}, of which there is no generation here"
        return _told(identity["identity"], **installed, reason=reason)
    return _told(identity["identity"], **_loaded(generation), live=True)


def ports_of(identity: dict[str, Any], params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return where an identity is presented on this host."""
    current = Paths(identity["directory"]).current
    ports = [p for p in params["processes"] if p["document"]["identity"] == current]
    for proxy in params["proxies"]:
        if proxy["identity"] == current:
            ports += proxy["sites"]
    return ports


def _loaded(generation: str) -> dict[str, Any]:
    certificate = read_certificate(os.path.join(generation, "certificate.pem"))
    bundle = read_text(os.path.join(generation, "bundle.pem")) or ""
    return {
        "roots": fingerprints(bundle),
        "issuer": certificate.issuer_key,
        "serial": certificate.serial,
        "begins": moment(certificate.not_before),
    }


def _told(  # noqa: PLR0913 -- the members of an entry
    identity: str,
    *,
    roots: list[str] | None = None,
    issuer: str | None = None,
    serial: str | None = None,
    begins: str | None = None,
    live: bool = False,
    reason: str | None = None,
) -> dict[str, Any]:
    return {
        "identity": identity,
        "roots": roots or [],
        "issuer": issuer,
        "serial": serial,
        "begins": begins,
        "live": live,
        "reason": reason,
        "presented": [],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "identities": IDENTITIES,
            "processes": PROCESSES,
            "proxies": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    evidence = [evidence_of(one, module) for one in module.params["identities"]]
    module.exit_json(changed=False, evidence=evidence)


if __name__ == "__main__":
    main()
