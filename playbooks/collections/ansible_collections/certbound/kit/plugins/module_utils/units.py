"""The systemd units of an instance: a socket, and a service that is shut in.

systemd holds the listening socket, so a caller who connects while the process is being
started anew waits a moment and is served. The process says itself when it is ready.
"""

from __future__ import annotations

import os
import re
from typing import Any

from . import credentials

MARK = "# Written by certbound.kit.units: changes made here are lost.\n"
DIRECTORY = "/etc/systemd/system"
_OURS = re.compile(r"certbound-[a-z0-9-]+\.(service|socket)")

_SOCKET = """\
[Unit]
Description=Certbound: {name} listens

[Socket]
ListenStream={place}
# At boot, before the network has its addresses.
FreeBind=yes
Backlog=1024
NoDelay=yes

[Install]
WantedBy=sockets.target
"""

# What has no effect in the lab, and why each is here: docs/lab.md.
_SERVICE = """\
[Unit]
Description=Certbound: {name} ({app})
Requires={unit}.socket
After={unit}.socket network-online.target time-sync.target
Wants=network-online.target
# An identity that comes later must still find the process: try for ever, slowly.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={python} -I -m services run {config}
WorkingDirectory=/
User={owner}
Group={owner}
Restart=on-failure
RestartSec=2
TimeoutStartSec=30
# Requests under way may take ten seconds to end.
TimeoutStopSec=15
KillMode=mixed

UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
SecureBits=noroot-locked
ProtectSystem=strict
{writable}{secrets}ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateUsers=yes
PrivateIPC=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# Beside the socket that it is given, it may listen where its document says.
SocketBindDeny=any
{listening}InaccessiblePaths=-/etc/ssh -/root -/home
LimitCORE=0
LimitNOFILE=4096
TasksMax=64
MemoryMax=512M

[Install]
WantedBy=multi-user.target
"""


def unit_of(process: dict[str, Any]) -> str:
    """Return the name of a process's units, without the ending."""
    return "certbound-{}".format(process["name"])


def units_of(process: dict[str, Any], release: str) -> dict[str, str]:
    """Return the texts of a process's units by file name."""
    document, address = process["document"], process["address"]
    if ":" in address:
        address = f"[{address}]"
    unit = unit_of(process)
    texts = {
        f"{unit}.socket": _SOCKET.format(
            name=process["name"], place="{}:{}".format(address, process["port"])
        ),
        f"{unit}.service": _SERVICE.format(
            name=process["name"],
            app=document.get("app", document["kind"]),
            unit=unit,
            python=os.path.join(release, "bin", "python"),
            config=process["config"],
            owner=process["owner"],
            writable="".join(f"ReadWritePaths={path}\n" for path in _own(document)),
            secrets=credentials.directives(unit, document),
            listening="".join(
                f"SocketBindAllow=tcp:{port}\n" for port in _ports(document)
            ),
        ),
    }
    return {name: MARK + text for name, text in texts.items()}


def _own(document: dict[str, Any]) -> list[str]:
    """Return the directories that a process writes to."""
    own = [document[name] for name in ("state", "ca") if document.get(name)]
    if "renewal" in document:
        own.append(os.path.dirname(document["identity"]))
    return own


def _ports(document: dict[str, Any]) -> list[int]:
    """Return the ports on which the CA's front listens by itself; nobody else does."""
    own = [document.get("publication", {}).get("port"), document.get("bundle_port")]
    return [port for port in own if port]


def present_units() -> dict[str, str]:
    """Return the texts of the units of ours that this host has, by file name."""
    found: dict[str, str] = {}
    if not os.path.isdir(DIRECTORY):
        return found
    for name in sorted(os.listdir(DIRECTORY)):
        path = os.path.join(DIRECTORY, name)
        if _OURS.fullmatch(name) and os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if text.startswith(MARK):
                found[name] = text
    return found


def releases_in(texts: dict[str, str]) -> set[str]:
    """Return the digests of the releases that units start."""
    return set(
        re.findall(
            r"^ExecStart=.*/releases/([^/]+)/", "\n".join(texts.values()), re.MULTILINE
        )
    )
