"""Tests of `services.following`: bundles come from who may tell them, and only forward.

The endpoint of the first tests is the one of the CA's front, over a CA of `pki`; the
others are servers with one fault each.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from pki import bundle_series
from pki.bundle import SpiffeBundle, read_bundle, read_spiffe, write_spiffe
from pki.identity import SpiffeId
from pki.trust import TrustBundle
from services.config import EnrolmentConfig, ProcessConfig, read_config
from services.enrolment.bundle import telling as front_telling
from services.following import Following
from services.watched import Watched, file_stamp
from services.wire.bundles import ForeignBundle, fetched_bundle
from services.wire.generation import LiveIdentity
from services.wire.tls import client_context
from tests.services.authority import Authority
from tests.services.balanced import free_ports
from tests.services.documents import enrolment_document, service_document, write
from tests.services.logged import lines
from tests.services.mesh import Mesh, now, serve
from tests.services.running import Clock
from tests.services.wire.apps import answer

PARTNER = "other.internal"
FRONT = f"spiffe://{PARTNER}/enrolment"


@dataclass
class Follower:
    """A process of ours that follows the partner's endpoint."""

    directory: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def first(self) -> Path:
        """The file that a person has put there."""
        return self.directory / "first.pem"

    @property
    def fetched(self) -> Path:
        """The file of what was fetched."""
        return fetched_bundle(self.directory / "state" / "bundles", PARTNER)

    def at(self, url: str) -> Following:
        """Return what follows an endpoint."""
        endpoint = {"url": f"{url}/bundle", "spiffe_id": FRONT}
        federation = {PARTNER: {"bundle": str(self.first), "endpoint": endpoint}}
        document = service_document(
            federation=federation, state=str(self.directory / "state")
        )
        path = write(self.directory, document)
        (self.directory / "state").mkdir(exist_ok=True)

        def read() -> ProcessConfig:
            return read_config(path)

        config = Watched(read, file_stamp(path), name="config")
        return Following(config, lambda _seconds: True, self.clock)

    def trusted(self) -> tuple[x509.Certificate, ...]:
        """Return the roots that the process trusts of the partner now."""
        return ForeignBundle(PARTNER, self.first, self.fetched).current().roots


@pytest.fixture
def follower(foreign_mesh: Mesh, tmp_path: Path) -> Follower:
    """Return a follower with the partner's bundle as it is."""
    made = Follower(tmp_path)
    made.first.write_bytes(foreign_mesh.bundle_pem)
    return made


def document(mesh: Mesh, number: int, *more: x509.Certificate) -> bytes:
    """Return the partner's bundle with a number."""
    trust = TrustBundle(PARTNER, (mesh.root, *more))
    return json.dumps(write_spiffe(SpiffeBundle(trust, number, 300))).encode()


def front_of(mesh: Mesh, named: str = FRONT) -> LiveIdentity:
    """Return the identity of a front, as a CA may have signed it."""
    instance = mesh.instance("enrolment", uris=[named])
    return LiveIdentity(instance.current, SpiffeId.parse(named))


@contextmanager
def telling(identity: LiveIdentity, content: bytes, status: int = 200) -> Iterator[str]:
    """Serve a bundle at every path, to whoever shows no certificate."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            start = {"type": "http.response.start", "status": status, "headers": []}
            await send(start)
            await send({"type": "http.response.body", "body": content})

    with serve(app, identity, demand_certificate=False) as running:
        yield running.url


def refusal(caplog: pytest.LogCaptureFixture) -> str:
    """Return why nothing was fetched."""
    (line,) = [one for one in lines(caplog) if one["event"] == "bundle.not_fetched"]
    return str(line["cause"])


def test_a_new_root_is_fetched_and_trusted(
    follower: Follower, foreign_mesh: Mesh, tmp_path: Path
) -> None:
    """A rotation over there arrives without a hand here, and the next one after it."""
    later = Mesh(tmp_path / "later", PARTNER)
    content = document(foreign_mesh, 2, later.root)
    with telling(front_of(foreign_mesh), content) as url:
        follower.at(url).look()
    assert follower.trusted() == (foreign_mesh.root, later.root)
    assert follower.fetched.stat().st_mode & 0o077 == 0
    with telling(front_of(later), document(later, 3)) as url:
        follower.at(url).look()
    assert follower.trusted() == (later.root,)


def test_a_bundle_without_keys_ends_the_trust(
    follower: Follower, foreign_mesh: Mesh, caplog: Any
) -> None:
    """Its owner has said so; and nobody can tell us otherwise over the network."""
    empty = json.dumps({"keys": [], "spiffe_sequence": 2}).encode()
    front = front_of(foreign_mesh)
    with telling(front, empty) as url:
        follower.at(url).look()
    assert follower.trusted() == ()
    with telling(front, document(foreign_mesh, 3)) as url:
        follower.at(url).look()
    assert follower.trusted() == ()
    assert refusal(caplog) == "SSLError"


def test_a_person_has_the_last_word(
    follower: Follower, foreign_mesh: Mesh, tmp_path: Path
) -> None:
    """The file in the document, replaced, counts until the next one is fetched."""
    later = Mesh(tmp_path / "later", PARTNER)
    with telling(front_of(foreign_mesh), document(foreign_mesh, 9)) as url:
        follower.at(url).look()
    follower.first.unlink()
    follower.first.write_bytes(later.bundle_pem)
    assert follower.trusted() == (later.root,)


@pytest.mark.parametrize(
    ("signer", "named"),
    [("third", FRONT), ("partner", f"spiffe://{PARTNER}/service/buyer")],
)
def test_who_is_not_the_endpoint_tells_nothing(  # noqa: PLR0913 - one fault each
    follower: Follower,
    foreign_mesh: Mesh,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    signer: str,
    named: str,
) -> None:
    """Another CA with the endpoint's name, and another name of the partner's CA."""
    third = Mesh(tmp_path / "third", PARTNER)
    who = front_of(third if signer == "third" else foreign_mesh, named)
    with telling(who, document(foreign_mesh, 2, third.root)) as url:
        follower.at(url).look()
    assert follower.trusted() == (foreign_mesh.root,)
    assert refusal(caplog) == "ConnectError"


@pytest.mark.parametrize(
    ("number", "more", "taken"),
    [(6, True, True), (5, False, True), (5, True, False), (4, False, False)],
)
def test_numbers_never_go_back(  # noqa: PLR0913 - what it takes
    follower: Follower,
    foreign_mesh: Mesh,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    number: int,
    *,
    more: bool,
    taken: bool,
) -> None:
    """An older bundle would bring back roots that were taken away."""
    follower.first.write_bytes(document(foreign_mesh, 5))
    old = [Mesh(tmp_path / "old", PARTNER).root] if more else []
    content = document(foreign_mesh, number, *old)
    with telling(front_of(foreign_mesh), content) as url:
        follower.at(url).look()
    assert follower.trusted() == (foreign_mesh.root, *(old if taken else ()))
    if not taken:
        assert refusal(caplog) == "OlderBundleError"


@pytest.mark.parametrize(
    ("content", "status", "cause"),
    [
        (b"{", 200, "BundleError"),
        (b'{"keys": [1]}', 200, "BundleError"),
        (b" " * 300_000, 200, "EndpointError"),
        (b'{"keys": []}', 404, "EndpointError"),
        (b'{"keys": []}', 302, "EndpointError"),
    ],
)
def test_a_bad_answer_changes_nothing(  # noqa: PLR0913 - one fault each
    follower: Follower,
    foreign_mesh: Mesh,
    caplog: pytest.LogCaptureFixture,
    *,
    content: bytes,
    status: int,
    cause: str,
) -> None:
    """What is held serves on; the next try comes in a minute."""
    with telling(front_of(foreign_mesh), content, status) as url:
        following = follower.at(url)
        following.look()
        assert refusal(caplog) == cause
        follower.clock.move(seconds=59)
        following.look()
        assert refusal(caplog) == cause
    assert follower.trusted() == (foreign_mesh.root,)
    assert not follower.fetched.exists()


@pytest.mark.parametrize(
    ("hint", "seconds"), [(120, 120), (1, 60), (10**9, 86400), (None, 300)]
)
def test_it_is_asked_again_when_the_hint_says(
    follower: Follower,
    foreign_mesh: Mesh,
    hint: int | None,
    seconds: int,
) -> None:
    """Within bounds of our own: neither each moment nor never."""
    trust = TrustBundle(PARTNER, (foreign_mesh.root,))
    content = json.dumps(write_spiffe(SpiffeBundle(trust, 1, hint))).encode()
    asked = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append(scope["path"])
            await answer(send, json.loads(content))

    front = front_of(foreign_mesh)
    with serve(app, front, demand_certificate=False) as running:
        following = follower.at(running.url)
        following.look()
        follower.clock.move(seconds=seconds - 1)
        following.look()
        assert len(asked) == 1
        follower.clock.move(seconds=1)
        following.look()
        assert len(asked) == 2


def test_the_cas_front_tells_its_bundle(tmp_path: Path) -> None:
    """Whoever shows no certificate reads it, with the number that the CA has given."""
    house = Authority(tmp_path)
    instance, (port,) = house.instance("enrolment"), free_ports(1)
    own = {"ca": str(house.layout.directory), "bundle_port": port}
    config = read_config(write(tmp_path, enrolment_document(**own)))
    assert isinstance(config, EnrolmentConfig)
    roots = (house.root,)
    context = client_context(
        None, instance.spiffe_id, TrustBundle("shop.internal", roots)
    )
    with (
        front_telling(config, instance.live()),
        httpx.Client(verify=context, trust_env=False) as client,
    ):
        got = client.get(f"https://localhost:{port}/bundle")
        lost = client.get(f"https://localhost:{port}/.well-known/est/cacerts")
    assert got.headers["content-type"] == "application/json"
    found = read_spiffe("shop.internal", got.content)
    assert found == bundle_series.published(house.layout, roots, now=now())
    assert lost.status_code == 404


def test_the_form_that_is_told_is_the_form_that_is_read(foreign_mesh: Mesh) -> None:
    """A bundle that was told is a file as good as PEM."""
    content = document(foreign_mesh, 1)
    assert read_bundle(PARTNER, content).trust.roots == (foreign_mesh.root,)
