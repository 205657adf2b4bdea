"""Fixtures: a lab for tests, or the reason why there is none.

    pytest_plugins = ["tests.lab.fixtures"]

A test's lab has a name of its own, so that one that is up for people is left alone.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import requirements
from tests.lab.errors import UnavailableError
from tests.lab.fleet import DEFAULT
from tests.lab.lab import Lab
from tests.lab.places import Places


def skip_without_lab() -> None:
    """Install what a lab needs, or skip the test where none can be, saying why."""
    try:
        requirements.install(print)
    except UnavailableError as reason:
        pytest.skip(f"no lab here: {reason}")


def lab_named(name: str) -> Lab:
    """Return a lab for tests, not booted; two pytest workers have two."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return Lab(Places.chosen(f"certbound-{name}{worker}"))


@contextmanager
def booted(name: str, spec: Path) -> Iterator[Lab]:
    """Boot a lab, and remove it however the tests end."""
    skip_without_lab()
    lab = lab_named(name)
    lab.down()  # of a run that was killed
    lab.up(spec, print)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Return the usual fleet, booted."""
    with booted("fleet", DEFAULT) as lab:
        yield lab
