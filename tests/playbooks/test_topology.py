"""A topology file is read strictly: each mistake alone gets its own sentence."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
    read_document,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.meaning import (
    read_meaning,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import (
    Topology,
    in_words,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.shape import (
    check_shape,
)
from jsonschema import Draft202012Validator

from tests.playbooks.mistakes import MISTAKES

Load = Callable[[str], Topology]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return the reader of a topology given as text."""

    def load(text: str) -> Topology:
        path = tmp_path / "topology.yml"
        path.write_text(text)
        document = read_document(path)
        check_shape(document)
        return read_meaning(document)

    return load


def refusal(load: Load, text: str) -> str:
    with pytest.raises(TopologyError) as caught:
        load(text)
    return str(caught.value).rpartition("/topology.yml")[2]


def test_sample_is_read(load: Load, sample: str) -> None:
    """The sample topology says what it seems to say."""
    topology = load(sample)
    assert list(topology.services) == ["storefront", "orders", "stock"]
    assert topology.services["orders"].calls == {"stock": ("stock.read",)}
    assert topology.services["orders"].audience == "https://orders.shop.internal"
    assert in_words(topology.lifetimes.certificate) == "24h"


def test_everything_with_a_default_may_be_left_out(load: Load) -> None:
    """The shortest topology is filled with the defaults that the schema names."""
    topology = load(
        "version: 1\ntrust_domain: a.test\nhosts: {one.a.test: {address: 10.0.0.1}}\n"
        "ca: {host: one.a.test}\ntoken_service: {hosts: [one.a.test], port: 1}\n"
        "services: {s: {hosts: [one.a.test], port: 2, app: 'm:f', resource: /s, "
        "scopes: [s.read]}}\n"
    )
    assert topology.issuer == "https://one.a.test:1"
    assert topology.hosts["one.a.test"].dns == "one.a.test"
    assert topology.services["s"].calls == {}
    assert topology.drill is None


def test_schema_is_one_and_describes_every_key(kit: Path) -> None:
    """The schema is valid, and every key of the format has a description."""
    schema = json.loads((kit / "schemas" / "topology.json").read_text())
    Draft202012Validator.check_schema(schema)

    def undescribed(part: dict[str, object], path: str) -> list[str]:
        properties = part.get("properties", {})
        assert isinstance(properties, dict)
        missing = [
            f"{path}.{name}"
            for name, value in properties.items()
            if not ({"description", "$ref"} & set(value))
        ]
        for name, value in properties.items():
            missing += undescribed(value, f"{path}.{name}")
        return missing

    assert undescribed(schema, "") == []


def test_schema_names_the_defaults_in_use(kit: Path, load: Load, sample: str) -> None:
    """A default that the schema shows is the default that is used."""
    schema = json.loads((kit / "schemas" / "topology.json").read_text())
    shown = schema["properties"]["lifetimes"]["properties"]
    data = yaml.safe_load(sample)
    del data["lifetimes"]
    lifetimes = load(yaml.safe_dump(data)).lifetimes
    assert {name: part["default"] for name, part in shown.items()} == {
        name: in_words(getattr(lifetimes, name)) for name in shown
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": the file is empty, expected a topology"),
        ("a: [", "no YAML: "),
        ("- a", "the whole file: got"),
        ("a: &x 1\nb: *x", ":2: b: expected the value itself, not an alias"),
        ("a: &x [*x]", "a[0]: expected the value itself, not an alias"),
        ("on: 1", "key 'on' is no text, expected it in quotes"),
        ("[a]: 1", "a key is a list or mapping, expected text"),
        ('a: "b\\nc"', "holds a line break or the like"),
        ("a: 1\na: 2", ":2: a: stands twice, first on line 1; expected once"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(load: Load, text: str, said: str) -> None:
    """Broken, empty, aliased and doubled YAML is refused where it stands."""
    assert said in refusal(load, text)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A topology that is not there is refused by its path."""
    with pytest.raises(TopologyError, match=r"none\.yml: No such file"):
        read_document(tmp_path / "none.yml")


def test_other_encoding_is_refused(tmp_path: Path) -> None:
    """A file that is no UTF-8 text is refused as such."""
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9")
    with pytest.raises(TopologyError, match="expected UTF-8 text"):
        read_document(tmp_path / "latin.yml")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_has_its_sentence(load: Load, sample: str, mistake: str) -> None:
    """One mistake in the sample is refused with file, line, key and expectation."""
    before, after, said = MISTAKES[mistake]
    assert before in sample
    text = sample.replace(before, after, 1)
    message = refusal(load, text)
    line, _, rest = message.removeprefix(":").partition(": ")
    assert said in rest
    assert "\n" not in message
    assert "hunter2" not in message  # what a mistake is likely to give away
    assert 0 < int(line) <= len(text.splitlines())


def test_line_is_that_of_the_key(load: Load, sample: str) -> None:
    """The line named is the one that an editor should go to."""
    text = sample.replace("stock: [stock.read]", "stork: [stock.read]")
    line = refusal(load, text).removeprefix(":").partition(":")[0]
    assert "stork" in text.splitlines()[int(line) - 1]


def test_the_drills_gateway_leads_to_its_target(load: Load, sample: str) -> None:
    """Phantom tokens for a gateway in front of another service are refused a part."""
    text = sample.replace(
        "/orders: { service: orders, scopes: [orders.read] }",
        "/stock: { service: stock, scopes: [stock.read] }",
    ).replace("edge: [orders.read]", "edge: [stock.read]")
    expected = "drill.phantom.gateway: expected one that leads to orders"
    assert expected in refusal(load, text)


def test_a_drill_of_two_kinds_of_tokens_is_one(load: Load, sample: str) -> None:
    """Who names no clients for the other kinds has a drill without them."""
    drill = load(re.sub(r"\n  (dpop|phantom|exchanged): .*", "", sample)).drill
    assert drill is not None
    assert not drill.keys() & {"dpop", "phantom", "exchanged"}


def test_a_call_opens_a_route(load: Load, sample: str) -> None:
    """Scopes that a gateway offers, but for no route of it together, are refused."""
    text = sample.replace(
        "scopes: [orders.read]\n", "scopes: [orders.read, orders.all]\n"
    )
    route = "{ service: orders, scopes: [orders.all], optional_scopes: [orders.read] }"
    text = text.replace("{ service: orders, scopes: [orders.read] }", route)
    message = refusal(load, text)
    assert "clients.drill-phantom.calls.edge: opens no route of edge" in message
    allowed = text.replace("edge: [orders.read]", "edge: [orders.all]")
    assert load(allowed).gateways["edge"].scopes == ("orders.all", "orders.read")


@pytest.fixture
def fapi2(sample: str) -> str:
    """Return the sample under FAPI 2.0: without bearer tokens, and so without drill."""
    data = yaml.safe_load(sample)
    del data["drill"]
    data["clients"] = {
        name: client
        for name, client in data["clients"].items()
        if client.get("binding") != "none"
    }
    return yaml.safe_dump({**data, "profile": "fapi2"}, sort_keys=False)


def test_profile_is_one_switch(load: Load, sample: str, fapi2: str) -> None:
    """FAPI 2.0 is off unless said, and on where nothing contradicts it."""
    assert load(sample).profile == "oauth2"
    assert load(fapi2).profile == "fapi2"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("token: 5m", "token: 11m", "lifetimes.token: got 11m, and fapi2 allows"),
        ("lifetime: 2s", "lifetime: 11m", "clients.drill-brief.lifetime: got 11m"),
    ],
)
def test_profile_shortens_tokens(
    load: Load, fapi2: str, before: str, after: str, said: str
) -> None:
    """Under FAPI 2.0 a token lives ten minutes at most, whoever it is for."""
    load(fapi2.replace(before, after.replace("11m", "10m"), 1))
    assert said in refusal(load, fapi2.replace(before, after, 1))


def test_profile_knows_no_spiffe_client(load: Load, fapi2: str) -> None:
    """FAPI 2.0 names the methods of authentication; the SPIFFE draft's is none."""
    client = (
        "clients:\n  'spiffe://shop.internal/partner':\n"
        "    authentication: {spiffe_x509: {}}\n    calls: {orders: [orders.read]}\n"
    )
    text = fapi2.replace("clients:\n", client, 1)
    assert "spiffe_x509: fapi2 has no such method" in refusal(load, text)
    load(text.replace("profile: fapi2", "profile: oauth2"))


def test_opaque_tokens_are_known_to_every_replica(load: Load, sample: str) -> None:
    """Two token services that keep state apart cannot read each other's tokens."""
    text = sample.replace(
        "\n  localhost: {", "\n  other: {address: 127.0.0.2}\n  localhost: {"
    ).replace(
        "hosts: [localhost]\n  port: 8440", "hosts: [localhost, other]\n  port: 8440"
    )
    apart = "clients.drill-phantom.format: an opaque token is known to one of several"
    assert apart in refusal(load, text)
    for store, shared in (
        ("sqlite:///var/state", False),
        ("unix:///run/redis", False),
        ("redis://localhost", False),
        ("rediss://redis.shop.internal", True),
    ):
        stored = text.replace("  port: 8440\n", f"  port: 8440\n  store: {store}\n")
        if shared:
            load(stored)
        else:
            assert apart in refusal(load, stored)


def test_two_hosts_may_not_share_a_name(load: Load, sample: str) -> None:
    """A name that two hosts have would let each stand in for the other."""
    text = sample.replace(
        "\n  localhost: {",
        "\n  other: {address: 127.0.0.2, dns: localhost}\n  localhost: {",
    )
    assert "'localhost' is the name of host other" in refusal(load, text)


def test_one_port_serves_on_two_hosts(load: Load, sample: str) -> None:
    """Two hosts may use one port number, since their addresses differ."""
    text = sample.replace(
        "\n  localhost: {", "\n  other: {address: 127.0.0.2}\n  localhost: {"
    ).replace("hosts: [localhost]\n    port: 8443", "hosts: [other]\n    port: 8442")
    assert load(text).services["stock"].hosts == ("other",)
