"""A service's certificate of a known make: the five places that differ are judged."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha1

import pytest
from cryptography import x509

from pki import der, lint, lint_leaf, profiles
from pki.lint_leaf import Leaf, check_places, take_apart
from pki.lint_pointers import LintError
from pki.unsigned import Unsigned
from tests.pki.builders import NAMES, NOW, Draft, Forge, p256
from tests.pki.test_lint import LEAF_FAULTS

Change = Callable[[Leaf], Leaf]
URI, DNS, ADDRESS = 0x86, 0x82, 0x87
ID = b"spiffe://shop.internal/service/orders"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin as a new process does."""
    monkeypatch.setattr(lint_leaf, "_KNOWN", {})


def unsigned(forge: Forge) -> Unsigned:
    """Return the certificate of a service with a new key, to be signed."""
    return profiles.service(
        p256().public_key(),
        names=NAMES,
        issuer=forge.issuing,
        lifetime=timedelta(days=1),
        now=NOW,
    )


def leaf_of(forge: Forge) -> Leaf:
    """Return a good one, taken apart."""
    found = take_apart(unsigned(forge).octets)
    assert found is not None
    return found


def judge(forge: Forge, one: Unsigned, issuer: x509.Certificate | None = None) -> None:
    """Lint what is to be signed."""
    lint.verify_draft(one, kind="service", issuer=issuer or forge.issuing)


def with_point(leaf: Leaf, point: bytes) -> Leaf:
    """Return the certificate of another key, with its identifier."""
    identifier = sha1(b"\x04" + point, usedforsecurity=False).digest()
    return leaf._replace(point=point, identifier=identifier)


def with_names(*names: tuple[int, bytes]) -> Change:
    """Change the names to those of these types."""
    octets = b"".join(der.value(tag, text) for tag, text in names)
    return lambda leaf: leaf._replace(names=octets)


def moments(*texts: str) -> Change:
    """Change the life to moments of UTCTime."""
    octets = b"".join(der.value(0x17, text.encode()) for text in texts)
    return lambda leaf: leaf._replace(life=octets)


def test_parts_are_all_of_it(forge: Forge) -> None:
    """Nothing is outside of the places and the rest, so nothing goes unjudged."""
    one = unsigned(forge)
    leaf = take_apart(one.octets)
    assert leaf is not None
    places = (leaf.serial, leaf.life, leaf.point, leaf.identifier, leaf.names, b"")
    woven = zip(leaf.rest, places, strict=True)
    assert b"".join(part for both in woven for part in both) == one.octets
    draft = one.draft()
    assert int.from_bytes(leaf.serial) == draft.serial_number


def test_rest_is_judged_once(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second certificate of a make is judged by its places alone."""
    judged: list[str] = []
    whole = lint.check_certificate

    def watched(*args: object, **kwargs: object) -> None:
        judged.append("whole")
        whole(*args, **kwargs)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(lint, "check_certificate", watched)
    for _ in range(3):
        judge(forge, unsigned(forge))
    assert judged == ["whole"]


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


PLACES: list[tuple[str, str, Change]] = [
    ("counted serial", "serial", lambda d: d._replace(serial=b"\x00" * 19 + b"\x07")),
    ("negative serial", "serial", lambda d: d._replace(serial=b"\xff" * 20)),
    ("serial of 160 bits", "serial", lambda d: d._replace(serial=b"\0" + b"\xff" * 20)),
    (
        "serial with an octet too much",
        "serial",
        lambda d: d._replace(serial=b"\x00" + b"\x7f" * 18),
    ),
    ("no life", "life", moments("261122173516Z", "261122173516Z")),
    ("outlives issuer", "life", moments("261122173516Z", "281122173516Z")),
    ("begins before issuer", "life", moments("251122173516Z", "261123173516Z")),
    ("no moments", "life", moments("261122173516Z", "261123xx3516Z")),
    ("one moment", "life", moments("261122173516Z")),
    (
        "three moments",
        "life",
        moments("261122173516Z", "261123173516Z", "261123173516Z"),
    ),
    (
        "moment of another type",
        "life",
        lambda d: d._replace(life=d.life.replace(b"\x17", b"\x18")),
    ),
    (
        "key beside the curve",
        "key",
        lambda d: with_point(d, d.point[:-1] + bytes([d.point[-1] ^ 1])),
    ),
    (
        "coordinate too large",
        "key",
        lambda d: with_point(d, b"\xff" * 32 + d.point[32:]),
    ),
    (
        "identifier of another key",
        "key_identifiers",
        lambda d: d._replace(identifier=b"\x01" * 20),
    ),
    ("two SPIFFE IDs", "names", with_names((DNS, b"localhost"), (URI, ID), (URI, ID))),
    ("no SPIFFE ID", "names", with_names((DNS, b"localhost"))),
    ("no DNS name", "names", with_names((URI, ID))),
    (
        "address",
        "names",
        with_names((DNS, b"localhost"), (URI, ID), (ADDRESS, b"\x7f\0\0\1")),
    ),
    (
        "SPIFFE ID without path",
        "names",
        with_names((DNS, b"localhost"), (URI, b"spiffe://shop.internal")),
    ),
    ("wildcard", "names", with_names((DNS, b"*.localhost"), (URI, ID))),
    ("not ASCII", "names", with_names((DNS, b"localhos\xf4"), (URI, ID))),
    ("foreign DNS name", "names", with_names((DNS, b"bank.example"), (URI, ID))),
    (
        "length of a name written long",
        "names",
        lambda d: d._replace(names=b"\x82\x81\x09localhost" + der.value(URI, ID)),
    ),
    ("name cut off", "names", lambda d: d._replace(names=d.names[:-1])),
]


@pytest.mark.parametrize(
    ("rule", "change"),
    [item[1:] for item in PLACES],
    ids=[item[0] for item in PLACES],
)
def test_one_fault_in_a_place_is_found(forge: Forge, rule: str, change: Change) -> None:
    """With the rest known, each place is still held to its rule."""
    leaf = leaf_of(forge)
    check_places(leaf, forge.issuing)
    with pytest.raises(LintError) as caught:
        check_places(change(leaf), forge.issuing)
    assert caught.value.rule == rule


def test_another_issuer_knows_nothing_of_it(forge: Forge) -> None:
    """What was judged under one issuing CA is judged again under another one."""
    other = Forge()
    judge(forge, unsigned(forge))
    with pytest.raises(LintError) as caught:
        judge(forge, unsigned(forge), other.issuing)
    assert caught.value.rule == "key_identifiers"


def test_half_of_it_is_nothing_known(forge: Forge) -> None:
    """Octets that end too soon are not taken apart."""
    octets = unsigned(forge).octets
    assert not any(map(take_apart, (octets[:cut] for cut in range(len(octets)))))


def test_only_so_much_is_known(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes without end do not fill the memory."""
    monkeypatch.setattr(lint_leaf, "_MOST_KNOWN", 2)
    lint_leaf._KNOWN.update(
        {((b"1",), forge.issuing): None, ((b"2",), forge.issuing): None}
    )
    judge(forge, unsigned(forge))
    assert len(lint_leaf._KNOWN) == 1
