"""A service's certificate of a known make: what differs is judged, as in the first."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509

from pki import lint, lint_shared, profiles
from pki.lint_pointers import LintError
from pki.unsigned import Unsigned
from tests.pki.builders import NAMES, NOW, Draft, Forge, p256
from tests.pki.test_lint import LEAF_FAULTS


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin as a new process does."""
    monkeypatch.setattr(lint_shared, "_KNOWN", {})


def unsigned(forge: Forge) -> Unsigned:
    """Return the certificate of a service with a new key, to be signed."""
    return profiles.service(
        p256().public_key(),
        names=NAMES,
        issuer=forge.issuing,
        lifetime=timedelta(days=1),
        now=NOW,
    )


def judge(forge: Forge, one: Unsigned, issuer: x509.Certificate | None = None) -> None:
    """Lint what is to be signed."""
    lint.verify_draft(one, kind="service", issuer=issuer or forge.issuing)


def test_what_is_shared_is_judged_once(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second certificate of a make is judged by its own parts alone."""
    judged: list[x509.Certificate] = []
    monkeypatch.setattr(
        lint_shared, "_judge", lambda certificate, *_: judged.append(certificate)
    )
    for _ in range(3):
        judge(forge, unsigned(forge))
    assert len(judged) == 1


def test_refused_make_is_not_known(forge: Forge) -> None:
    """What was refused is refused again."""
    draft = forge.leaf_draft.without(x509.ExtendedKeyUsage)
    octets = draft.sign(forge.issuing_key).tbs_certificate_bytes
    for _ in range(2):
        with pytest.raises(LintError):
            judge(forge, Unsigned(octets))


@pytest.mark.parametrize(
    ("rule", "fault"),
    [item[1:] for item in LEAF_FAULTS],
    ids=[item[0] for item in LEAF_FAULTS],
)
def test_one_fault_is_found_beside_what_is_known(
    forge: Forge, rule: str, fault: Callable[[Draft], Draft]
) -> None:
    """Each fault that a whole certificate may have breaks the same rule here."""
    good = forge.leaf_draft.sign(forge.issuing_key).tbs_certificate_bytes
    judge(forge, Unsigned(good))
    bad = fault(forge.leaf_draft).sign(forge.issuing_key).tbs_certificate_bytes
    with pytest.raises(LintError) as caught:
        judge(forge, Unsigned(bad))
    assert caught.value.rule == rule


def test_another_issuer_knows_nothing_of_it(forge: Forge) -> None:
    """What was judged under one issuing CA is judged again under another one."""
    other = Forge()
    judge(forge, unsigned(forge))
    with pytest.raises(LintError) as caught:
        judge(forge, unsigned(forge), other.issuing)
    assert caught.value.rule == "key_identifiers"


def test_only_so_much_is_known(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes without end do not fill the memory."""
    monkeypatch.setattr(lint_shared, "_MOST_KNOWN", 2)
    lint_shared._KNOWN.update(
        {("service", Forge().issuing, ()): None for _ in range(2)}
    )
    judge(forge, unsigned(forge))
    assert len(lint_shared._KNOWN) == 1
