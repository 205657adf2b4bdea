"""Tests of `services.wire.presented`: which certificate the log names."""

from datetime import timedelta
from typing import Any

import pytest

from services.wire.presented import presented_serial
from tests.services.mesh import Mesh, now
from tests.services.peers import scope_of


def test_a_certificate_goes_by_its_serial(mesh: Mesh) -> None:
    """In lower-case hex, as in the CA's ledger."""
    leaf = mesh.issue("orders")
    serial = format(leaf.certificate.serial_number, "x")
    assert presented_serial(scope_of(leaf)) == serial


def test_a_certificate_that_is_no_good_is_named_too(mesh: Mesh) -> None:
    """That is when the log is read."""
    leaf = mesh.issue("orders", not_after=now() - timedelta(minutes=1))
    assert presented_serial(scope_of(leaf))


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"extensions": None},
        {"extensions": {"tls": None}},
        {"extensions": {"tls": {"client_cert": None}}},
        {"extensions": {"tls": {"client_cert": b"no certificate"}}},
    ],
    ids=repr,
)
def test_where_there_is_none_there_is_no_serial(scope: dict[str, Any]) -> None:
    """A line of the log is never the reason for a failure."""
    assert presented_serial(scope) is None
