"""Tests of `services.gateway.vitals`: what a gateway needs, and what not."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.config import GatewayConfig
from services.gateway.gateway import Gateway, read_gateway_config
from services.gateway.vitals import GatewayVitals
from services.operations.vitals import Part
from services.watched import Watched
from tests.services.documents import write
from tests.services.gateway.standing import Edge, gateway_document
from tests.services.mesh import Mesh


def parts(gateway: Callable[[], Gateway]) -> dict[str, bool]:
    """Return which parts a look finds well."""

    async def look() -> list[Part]:
        made = gateway()
        try:
            return list(await GatewayVitals(made).parts())
        finally:
            await made.aclose()

    return {part.name: part.up for part in asyncio.run(look())}


@pytest.mark.parametrize(
    ("away", "found"),
    [
        ({}, {"key_set": True, "store": True}),
        ({"jwks": True}, {"key_set": False, "store": True}),
        ({"state": None}, {"key_set": True}),
        ({"store": "/proc/nowhere/a"}, {"key_set": True, "store": False}),
    ],
)
def test_each_part_is_looked_at(
    edge: Edge, mesh: Mesh, tmp_path: Path, away: dict[str, Any], found: Any
) -> None:
    """Keys and store are needed; no upstream is, since there may be others."""
    url = "https://localhost:1" if away.pop("jwks", None) else edge.tokens.url
    address = {**gateway_document()["token_service"], "jwks_uri": f"{url}/jwks"}
    own = {"state": str(tmp_path), **away, "token_service": address}
    instance = mesh.instance("gateway")
    document = write(tmp_path, gateway_document(identity=str(instance.current), **own))

    def read() -> GatewayConfig:
        return read_gateway_config(document)

    def made() -> Gateway:
        config = Watched(read, lambda: None, name="config")
        return Gateway(config, instance.live(), clock=edge.tokens.clock)

    assert parts(made) == found
