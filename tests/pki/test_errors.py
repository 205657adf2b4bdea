"""Every refusal has a code of its own."""

import importlib
import pkgutil
import re

import pki
from pki.errors import PkiError


def refusals(root: type[PkiError]) -> list[type[PkiError]]:
    """Return a class and all below it."""
    return [root] + [
        found for below in root.__subclasses__() for found in refusals(below)
    ]


def test_every_refusal_has_its_own_code() -> None:
    """Programs tell refusals apart by it, so no two classes share one."""
    for module in pkgutil.iter_modules(pki.__path__):
        importlib.import_module(f"pki.{module.name}")
    ours = [found for found in refusals(PkiError) if found.__module__.startswith("pki")]
    codes = [vars(found).get("code") for found in ours]
    assert None not in codes
    assert len(set(codes)) == len(codes) > 30
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", str(code)) for code in codes)


def test_names_end_in_error_and_have_a_docstring() -> None:
    """The name says that it is an error, the docstring when it is raised."""
    for found in refusals(PkiError):
        assert found.__name__.endswith("Error")
        assert found.__doc__
