"""The CA's front with a grace, as the roll-out starts it: one process."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from tests.services.authority import Authority, certificate, encoded, request_of
from tests.services.deployed import _await_port, _free_ports
from tests.services.documents import enrolment_document, write
from tests.services.enrolment.test_grace import AGE, ENOUGH
from tests.services.mesh import now
from tests.services.running import client_of


def test_it_renews_and_does_nothing_else(tmp_path: Path) -> None:
    """An expired certificate of a monitor reads no metrics, and gets its next one."""
    house = Authority(tmp_path, age=AGE + timedelta(hours=1))
    orders = house.instance("orders", age=AGE)
    (port,) = _free_ports(1)
    front = house.instance("enrolment")
    (tmp_path / "front").mkdir()
    document = enrolment_document(
        port=port,
        identity=str(front.current),
        ca=str(house.layout.directory),
        issuing_passphrase=str(house.passphrase),
        monitors=[str(orders.spiffe_id)],
        grace=ENOUGH,
    )
    config, log = write(tmp_path / "front", document), tmp_path / "log"
    with log.open("wb") as stderr:
        started = subprocess.Popen(
            [sys.executable, "-m", "services", "run", str(config)], stderr=stderr
        )
    try:
        _await_port(port, started, log)
        with client_of(orders, front, base_url=f"https://localhost:{port}") as client:
            refused = client.get("/metrics").status_code
            renewed = client.post(
                "/.well-known/est/simplereenroll",
                content=encoded(request_of(orders)),
                headers={"content-type": "application/pkcs10"},
            )
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(15)
    assert refused in {401, 403}
    assert certificate(renewed).not_valid_after_utc > now()
