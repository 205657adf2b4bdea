"""Whatever bytes a hop sends, the parsers refuse with errors of their own, or agree."""

from collections.abc import Callable, Mapping

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki.clock import utc_now
from services.wire import client_cert, xfcc
from services.wire.callers import Callers
from services.wire.certificates import from_der
from services.wire.forwarding_errors import ForwardedError, UntrustedCallerError
from tests.services.mesh import Mesh
from tests.services.proxies import fields

Reader = Callable[[Mapping[bytes, bytes]], tuple[x509.Certificate, ...]]

SOME = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# Pieces that the two forms are made of, so that more than the first byte is looked at.
PIECES = [b":", b"=", b",", b";", b'"', b"\\", b" ", b"(", b")", b"?1", b"@1", b"%41"]
PIECES += [b"Cert=", b"Hash=", b"Chain=", b"By=", b"MIIB", b":MA==:", b"a=1", b"\xff"]

anything = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=20).map(
        b"".join
    ),
)


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (client_cert.unverified_chain, sorted(client_cert.FIELDS)),
        (xfcc.unverified_chain, sorted(xfcc.FIELDS)),
    ],
    ids=["client-cert", "xfcc"],
)
@SOME
@given(data=st.data())
def test_any_bytes_are_refused_in_words(
    read: Reader, names: list[bytes], data: st.DataObject
) -> None:
    """No value of any field makes anything but a refusal."""
    presented = data.draw(
        st.fixed_dictionaries({}, optional=dict.fromkeys(names, anything))
    )
    with pytest.raises(ForwardedError):
        read(presented)


@pytest.fixture(scope="module")
def leaf(mesh: Mesh) -> x509.Certificate:
    """Return a caller's certificate."""
    return mesh.issue("storefront").certificate


@st.composite
def spoilt(draw: st.DrawFn, good: bytes) -> bytes:
    """Return good bytes with a piece of them replaced by another."""
    start = draw(st.integers(0, len(good)))
    end = draw(st.integers(start, min(len(good), start + 8)))
    return good[:start] + draw(st.binary(max_size=8)) + good[end:]


@SOME
@given(data=st.data())
def test_a_spoilt_value_is_the_same_or_refused(
    leaf: x509.Certificate, data: st.DataObject
) -> None:
    """Two spellings of one certificate do not exist, in either form."""
    good = fields.client_cert(leaf)
    value = data.draw(spoilt(good))
    try:
        (found,) = client_cert.unverified_chain({client_cert.FIELD: value})
    except ForwardedError:
        return
    assert fields.client_cert(found) == value.strip(b" ")
    if found == leaf:
        assert value.strip(b" ") == good


@SOME
@given(data=st.data())
def test_a_spoilt_element_names_no_other(
    leaf: x509.Certificate, data: st.DataObject
) -> None:
    """In Envoy's form, certificate and hash hold each other fast."""
    value = data.draw(spoilt(fields.xfcc(leaf)))
    try:
        (found,) = xfcc.unverified_chain({xfcc.FIELD: value})
    except ForwardedError:
        return
    assert found == leaf


@SOME
@given(data=st.data())
def test_a_spoilt_certificate_is_not_trusted(
    mesh: Mesh, leaf: x509.Certificate, data: st.DataObject
) -> None:
    """What parses and was not signed so is refused, and never a fault of ours."""
    der = leaf.public_bytes(Encoding.DER)
    spoilt_der = data.draw(spoilt(der))
    callers = callers_of(mesh)
    try:
        found = from_der(spoilt_der)
        callers.verify((found,), spoilt_der, now=utc_now())
    except (ForwardedError, UntrustedCallerError):
        assert spoilt_der != der
    else:
        assert spoilt_der == der


def callers_of(mesh: Mesh) -> Callers:
    """Return the trust of one process, the same for all examples."""
    if mesh not in _KNOWN:
        _KNOWN[mesh] = Callers(mesh.instance("orders").live())
    return _KNOWN[mesh]


_KNOWN: dict[Mesh, Callers] = {}
