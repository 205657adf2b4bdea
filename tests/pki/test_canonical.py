"""One spelling for each JSON value."""

import pytest

from pki.canonical import canonical_json, canonical_texts


def test_order_of_members_does_not_matter() -> None:
    """Two spellings of one value become the same bytes."""
    assert canonical_json({"b": 1, "a": None}) == b'{"a":null,"b":1}'
    assert canonical_json({"a": None, "b": 1}) == b'{"a":null,"b":1}'


def test_everything_is_ascii() -> None:
    """A letter beyond ASCII is escaped, so no encoding can change the hash."""
    assert canonical_json({"a": "é"}) == b'{"a":"\\u00e9"}'


def test_bytes_are_refused() -> None:
    """What is no JSON value has no spelling."""
    with pytest.raises(TypeError):
        canonical_json({"a": b"x"})


@pytest.mark.parametrize("code", [*range(256), 0x20AC, 0x1F511], ids=hex)
def test_fast_way_spells_every_character_the_same(code: int) -> None:
    """The hash of an entry does not depend on who encoded it."""
    value = {"z": f"a{chr(code)}b", chr(code): None, "number": 2**62 + code}
    assert canonical_texts(value) == canonical_json(value)
