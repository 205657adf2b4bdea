"""Tests of `services.renewal.moment`: when, and when again."""

from datetime import timedelta

import pytest

from services.renewal.moment import due, pause
from tests.services.mesh import Mesh

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def test_each_certificate_has_its_own_moment(mesh: Mesh) -> None:
    """From half to two thirds of the life, spread over what lies between."""
    shares = []
    for _ in range(64):
        made = mesh.issue("orders").certificate
        begins, ends = made.not_valid_before_utc, made.not_valid_after_utc
        shares.append((due(made) - begins) / (ends - begins))
    assert all(1 / 2 <= share <= 2 / 3 for share in shares)
    assert min(shares) < 0.54
    assert max(shares) > 0.62


def test_a_restart_does_not_cast_the_dice_anew(mesh: Mesh) -> None:
    """The certificate alone says when."""
    made = mesh.issue("orders").certificate
    assert due(made) == due(made)


@pytest.mark.parametrize(
    ("failures", "whole"), [(1, 1), (2, 2), (5, 16), (7, 60), (10_000, 60)]
)
def test_pauses_double_up_to_a_bound(failures: int, whole: int) -> None:
    """Each between half of its length and the whole, by chance."""
    waits = [pause(failures, first=SECOND, longest=MINUTE) for _ in range(50)]
    assert all(0.5 * whole * SECOND <= wait <= whole * SECOND for wait in waits)
    assert len(set(waits)) > 1
