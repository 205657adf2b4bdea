"""A release holds what a lock names for one kind of host, and says what it holds."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.certbound.kit.plugins.modules import release_install
from ansible_collections.certbound.kit.plugins.plugin_utils.release.build import (
    release_of,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.release.lock import (
    ReleaseError,
    Target,
    read_lock,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.release.sbom import (
    bill_of_materials,
    read_wheel,
)

LOCK = """\
# Made by hand.
everywhere==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
old==2.0 ; python_full_version < '3.11.3' \\
    --hash=sha256:cc
elsewhere==3.0 ; sys_platform == 'win32' \\
    --hash=sha256:dd
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Return a lock with conditions."""
    path = tmp_path / "requirements-hosts.lock"
    path.write_text(LOCK)
    return path


def wheel(directory: Path, name: str, *lines: str) -> Path:
    """Write a wheel that says of itself what `lines` say."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        said = [f"Name: {name}", "Version: 1.0", *lines, "", ""]
        archive.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join(said))
    return path


def test_conditions_are_the_hosts_own(lock: Path) -> None:
    """An early patch release of Python 3.11 counts, whoever reads the lock."""
    for name, expected in (
        ("cp311-x86_64", ["everywhere", "old"]),
        ("cp313-x86_64", ["everywhere"]),
    ):
        assert [one.name for one in read_lock(lock, Target.parse(name))] == expected


def test_pins_keep_their_hashes(lock: Path) -> None:
    """What is downloaded is checked against every hash of the lock, and no other."""
    first = read_lock(lock, Target.parse("cp313-x86_64"))[0]
    assert first.line == "everywhere==1.0 --hash=sha256:aa --hash=sha256:bb"


def test_a_pin_without_hash_is_refused(lock: Path) -> None:
    """A package that is not known by hash does not travel."""
    lock.write_text("everywhere==1.0\n")
    with pytest.raises(ReleaseError, match="expected a version with hashes"):
        read_lock(lock, Target.parse("cp311-x86_64"))


def test_a_target_that_is_none_is_refused() -> None:
    """A misspelt kind of host is named."""
    with pytest.raises(ReleaseError, match=r"'py3' is no target such as cp311-x86_64"):
        Target.parse("py3")


def test_a_release_is_known_by_what_it_is_made_of(tmp_path: Path, lock: Path) -> None:
    """The digest changes with a source, with the lock and with the kind of host."""
    target = Target.parse("cp311-x86_64")
    for name in ("pki", "services"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("pass\n")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_text("")

    def digest(kind: Target = target) -> str:
        return release_of(tmp_path, tmp_path, kind).digest

    seen = [digest(), digest(Target.parse("cp313-x86_64"))]
    assert digest() == seen[0]
    (tmp_path / "pki" / "code.py").write_text("raise\n")
    seen.append(digest())
    lock.write_text(LOCK.replace("1.0", "1.1"))
    seen.append(digest())
    assert len(set(seen)) == len(seen)


def test_the_library_of_tokens_travels_where_it_is_wanted(
    tmp_path: Path, project: Path
) -> None:
    """It is a release of its own; all else in it is what every host gets."""
    target = Target.parse("cp313-aarch64")
    plain = release_of(project, tmp_path, target)
    tokens = release_of(project, tmp_path, target, tokens=True)
    assert plain.digest != tokens.digest
    held = {
        release.lock: {one.line for one in read_lock(project / release.lock, target)}
        for release in (plain, tokens)
    }
    more = {line.partition("==")[0] for line in held[tokens.lock] - held[plain.lock]}
    assert more == {"asn1crypto", "python-pkcs11"}
    assert held[plain.lock] < held[tokens.lock]


def test_bill_names_everything_with_hash_license_and_needs(tmp_path: Path) -> None:
    """The bill is read off the wheels, and is the same whoever writes it."""
    product = read_wheel(
        wheel(tmp_path, "product", "Requires-Dist: part", "Requires-Dist: other")
    )
    part = read_wheel(wheel(tmp_path, "part", "License-Expression: MIT"))
    target = Target.parse("cp311-x86_64")
    bill = json.loads(bill_of_materials(product, [part], target, "d1"))
    again = json.loads(bill_of_materials(product, [part], target, "d1"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["serialNumber"] == again["serialNumber"]
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/product@1.0"
    (component,) = bill["components"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": part.sha256}]
    assert component["licenses"] == [{"license": {"id": "MIT"}}]
    assert {
        "ref": "pkg:pypi/product@1.0",
        "dependsOn": ["pkg:pypi/part@1.0"],
    } in bill["dependencies"]


@pytest.mark.parametrize("name", ["../evil.whl", "wheels/../evil.whl", "setup.py"])
def test_an_archive_with_a_stranger_in_it_is_refused(tmp_path: Path, name: str) -> None:
    """Only wheels and the three documents are taken out, and nothing is left."""
    archive = tmp_path / "release.tar"
    with tarfile.open(archive, "w") as opened:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        opened.addfile(entry, io.BytesIO(b"x"))
    directory = tmp_path / "releases" / "d1"
    with pytest.raises(release_install.NotInstalledError, match="the archive holds"):
        release_install.install(str(directory), str(archive))
    assert not directory.exists()
    assert not (tmp_path / "releases" / "evil.whl").exists()
