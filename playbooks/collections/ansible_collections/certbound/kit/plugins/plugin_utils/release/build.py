"""Make a release: one archive for one kind of host, with everything in it.

    wheels/*.whl          the product and all it needs, one wheel each
    requirements.txt      each wheel by its hash
    sbom.cdx.json         the bill of materials

A release is known by a digest of what it is made from (the lock and the sources), so
that nothing is made, downloaded or sent twice. Called by the action plugin `release`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .lock import INSTALLER, Pinned, ReleaseError, Target, read_lock
from .sbom import bill_of_materials, read_wheel

Say = Callable[[str], None]

_RECIPE = "1"  # changes when the archive's form does
_LOCK = "requirements-hosts.lock"
_LOCK_WITH_TOKENS = "requirements-hosts-pkcs11.lock"
_PRODUCT = ("pyproject.toml", "README.md", "LICENSE", "pki", "services")
_EPOCH = 315532800  # 1980-01-01, the first day that a zip file can name


@dataclass(frozen=True)
class Release:
    """A release for one kind of host, which need not be made yet."""

    target: str
    digest: str
    archive: Path
    lock: str  # the file that names what is in it

    @property
    def sbom(self) -> Path:
        """The bill of materials beside the archive."""
        return self.archive.with_suffix(".cdx.json")

    @property
    def is_made(self) -> bool:
        """Whether it is there."""
        return self.archive.exists() and self.sbom.exists()


def release_of(
    project: Path, directory: Path, target: Target, *, tokens: bool = False
) -> Release:
    """Return what the release of today's sources is called, and where it lies.

    With `tokens` the library is in it that the CA's host needs for a PKCS#11 token.
    """
    lock = _LOCK_WITH_TOKENS if tokens else _LOCK
    digest = hashlib.sha256(f"{_RECIPE} {target.name}".encode())
    for pinned in read_lock(project / lock, target):
        digest.update(pinned.line.encode() + b"\n")
    for path in _sources(project):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(project)} {content}\n".encode())
    name = digest.hexdigest()[:16]
    archive = directory / f"certbound-{name}-{target.name}.tar"
    return Release(target=target.name, digest=name, archive=archive, lock=lock)


def make(release: Release, project: Path, say: Say) -> None:
    """Make a release that is not there yet.

    Raises:
        ReleaseError: a wheel cannot be had; the message is pip's.
    """
    target = Target.parse(release.target)
    release.archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        pinned = read_lock(project / release.lock, target)
        wheels = _wheels(release.archive.parent / "wheels", target, pinned, say)
        say(f"{target.name}: packing the product")
        product = _product_wheel(project, Path(temporary))
        _pack(release, target, [product, *wheels])
    say(f"{target.name}: {release.archive.name}, {_megabytes(release.archive)}")


def _wheels(
    directory: Path, target: Target, pinned: list[Pinned], say: Say
) -> list[Path]:
    """Return the wheels of what the product needs, downloaded once a lock."""
    wanted = "\n".join(one.line for one in pinned) + "\n"
    name = f"{target.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    kept = directory / name
    if not kept.exists():
        say(f"{target.name}: getting {len(pinned)} wheels by hash")
        partial = directory / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        requirements = partial / "requirements.txt"
        requirements.write_text(wanted, encoding="utf-8")
        _pip(
            *("download", "--quiet", "--no-deps", "--only-binary", ":all:"),
            *("--require-hashes", "-r", str(requirements), "-d", str(partial)),
            *target.pip_options,
        )
        partial.rename(kept)
    return sorted(kept.glob("*.whl"))


def _sources(project: Path) -> list[Path]:
    found = []
    for name in _PRODUCT:
        path = project / name
        files = path.rglob("*") if path.is_dir() else [path]
        found += [file for file in files if file.is_file() and _travels(file)]
    return sorted(found)


def _travels(path: Path) -> bool:
    return path.suffix != ".pyc" and "__pycache__" not in path.parts


def _product_wheel(project: Path, temporary: Path) -> Path:
    """Build the product's own wheel from a copy: a build leaves files behind."""
    copy = temporary / "source"
    for source in _sources(project):
        place = copy / source.relative_to(project)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        os.utime(place, (_EPOCH, _EPOCH))
    built = temporary / "built"
    _pip(
        *("wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("-w", str(built), str(copy)),
        SOURCE_DATE_EPOCH=str(_EPOCH),
    )
    return next(built.glob("*.whl"))


def _pack(release: Release, target: Target, paths: list[Path]) -> None:
    """Write the archive; the first of `paths` is the product's own wheel."""
    read = [read_wheel(path) for path in paths]
    installed = [wheel for wheel in read if wheel.name != INSTALLER]
    requirements = "".join(
        f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
        for wheel in installed
    )
    bill = bill_of_materials(installed[0], installed[1:], target, release.digest)
    about = json.dumps({"digest": release.digest, "target": release.target}) + "\n"
    partial = release.archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as archive:
        for path in paths:
            _add(archive, f"wheels/{path.name}", path.read_bytes())
        _add(archive, "requirements.txt", requirements.encode())
        _add(archive, "sbom.cdx.json", bill.encode())
        _add(archive, "release.json", about.encode())
    release.sbom.write_text(bill, encoding="utf-8")
    partial.replace(release.archive)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), _EPOCH, 0o644
    archive.addfile(entry, io.BytesIO(content))


def _pip(*arguments: str, **environment: str) -> None:
    done = subprocess.run(  # noqa: S603 -- the controller's own pip
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        env=os.environ | environment | {"PIP_NO_INPUT": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise ReleaseError(
            f"pip {arguments[0]}: {(said or [f'exit {done.returncode}'])[-1]}; a "
            "controller without a way to a package index needs a release made before: "
            "ansible-playbook playbooks/release.yml"
        )


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
