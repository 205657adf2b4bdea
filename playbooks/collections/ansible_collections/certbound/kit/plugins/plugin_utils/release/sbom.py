"""The bill of materials of a release: CycloneDX, as JSON.

Everything in it is read off the wheels themselves: names, versions, licenses, hashes,
and who needs whom.
"""

from __future__ import annotations

import hashlib
import uuid
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from typing import TYPE_CHECKING

from cyclonedx.contrib.hash.factories import HashTypeFactory
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

    from .lock import Target

# So that the same release has the same bill, whoever makes it.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "release.certbound")


@dataclass(frozen=True)
class Wheel:
    """What a wheel says of itself."""

    name: str
    version: str
    summary: str
    license: str
    needs: tuple[Requirement, ...]
    sha256: str


def read_wheel(path: Path) -> Wheel:
    """Return what the wheel at `path` says of itself."""
    with zipfile.ZipFile(path) as archive:
        metadata = next(
            name
            for name in archive.namelist()
            if name.endswith(".dist-info/METADATA") and name.count("/") == 1
        )
        said = Parser().parsestr(archive.read(metadata).decode())
    return Wheel(
        name=canonicalize_name(said["Name"]),
        version=said["Version"],
        summary=said.get("Summary", ""),
        license=_license(said.get("License-Expression") or said.get("License") or ""),
        needs=tuple(Requirement(text) for text in said.get_all("Requires-Dist", [])),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def bill_of_materials(
    product: Wheel, wheels: list[Wheel], target: Target, digest: str
) -> str:
    """Return the bill of `product`, which is made of `wheels`, as JSON."""
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, f"{digest} {target.name}"))
    components = {wheel.name: _component(wheel) for wheel in wheels}
    components[product.name] = _component(product, ComponentType.APPLICATION)
    bom.metadata.component = components[product.name]
    for wheel in wheels:
        bom.components.add(components[wheel.name])
    for wheel in (product, *wheels):
        needed = {
            canonicalize_name(need.name)
            for need in wheel.needs
            if target.wants(need) and canonicalize_name(need.name) in components
        }
        bom.register_dependency(
            components[wheel.name], [components[name] for name in sorted(needed)]
        )
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _component(wheel: Wheel, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    licenses = LicenseFactory()
    purl = PackageURL("pypi", None, wheel.name, wheel.version)
    return Component(
        name=wheel.name,
        version=wheel.version,
        type=kind,
        bom_ref=str(purl),
        purl=purl,
        description=wheel.summary or None,
        licenses=[licenses.make_from_string(wheel.license)] if wheel.license else None,
        hashes=[HashTypeFactory().from_hashlib_alg("sha256", wheel.sha256)],
    )


def _license(text: str) -> str:
    """Return a license's name; some wheels carry its whole text instead."""
    return text if len(text.splitlines()) == 1 else ""
