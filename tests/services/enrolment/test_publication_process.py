"""The CA's front that publishes, as the roll-out starts it: one process."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.services.deployed import _await_port, _free_ports
from tests.services.documents import enrolment_document, write
from tests.services.published import founded
from tests.services.running import client_of


def test_both_listeners_begin_and_end_together(tmp_path: Path) -> None:
    """EST over mutual TLS on one port, lists on the other; told to stop, it does."""
    told = founded(tmp_path)
    house, publication = told.house, told.config.publication
    assert publication
    (port,) = _free_ports(1)
    front = house.instance("enrolment")
    (tmp_path / "front").mkdir()
    document = enrolment_document(
        port=port,
        identity=str(front.current),
        ca=str(house.layout.directory),
        issuing_passphrase=str(house.passphrase),
        publication={"port": publication.port, "path": publication.path},
    )
    config, log = write(tmp_path / "front", document), tmp_path / "log"
    with log.open("wb") as stderr:
        started = subprocess.Popen(
            [sys.executable, "-m", "services", "run", str(config)], stderr=stderr
        )
    try:
        _await_port(port, started, log)
        url = f"https://localhost:{port}"
        with client_of(told.orders, front, base_url=url) as client, told.client:
            assert client.get("/.well-known/est/cacerts").status_code == 200
            assert client.get("/crl/0/full.crl").status_code == 404
            assert told.crl(told.orders).issuer == house.issuing.subject
    finally:
        started.send_signal(signal.SIGTERM)
        ended = started.wait(15)
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert ended == 0, events
    assert events.index("publication.started") < events.index("process.stopped")
    assert "publication.stopped" not in events
