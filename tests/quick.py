"""What `make test-quick` leaves out beside what is marked: what starts others.

A test that runs servers on sockets, or a process for each step, takes a fifth of a
second and more; the thousands of others are through in less than a minute.
"""

import pytest

_STARTED = {"serve", "postgres"}  # fixtures
_STORE = "[postgresql"  # the store that a parameter names
_ROOMS = (
    "tests/pki/flows/",
    "tests/pki/test_backup.py",
    "tests/pki/test_ceremony",
    "tests/pki/test_generations.py",
    "tests/pki/test_inventory.py",
    "tests/pki/test_main.py",
    "tests/pki/test_ml_dsa.py",
    "tests/pki/test_pkcs11.py",
    "tests/pki/test_postgresql.py",
    "tests/pki/test_rotation",
    "tests/playbooks/test_enrolment.py",
    "tests/playbooks/test_installation.py",
    "tests/playbooks/test_renewal.py",
    "tests/playbooks/test_rotation_proofs.py",
    "tests/playbooks/test_tokens.py",
    "tests/playbooks/test_witnesses.py",
    "tests/services/drill/",
    "tests/services/enrolment/",
    "tests/services/flows/",
    "tests/services/operations/",
    "tests/services/renewal/",
    "tests/services/proof/test_dpop_mutation.py",
    "tests/services/report/",
    "tests/services/state/test_model.py",
    "tests/services/test_following.py",
    "tests/services/wire/test_anchors.py",
    "tests/services/wire/test_federation.py",
    "tests/services/wire/test_status.py",
    "tests/services/wire/test_web.py",
)


def mark(items: list[pytest.Item]) -> None:
    """Mark what starts something as `started`."""
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        if (
            item.nodeid.startswith(_ROOMS)
            or _STORE in item.nodeid
            or not _STARTED.isdisjoint(fixtures)
        ):
            item.add_marker(pytest.mark.started)
