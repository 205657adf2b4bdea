"""The member `revocation` of every document, each mistake alone."""

from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError
from services.revocation_config import RevocationConfig
from tests.services.documents import (
    enrolment_document,
    read,
    service_document,
    token_service_document,
)

URL = "http://ca.shop.internal:8451/pki"


@pytest.mark.parametrize(
    "document", [service_document, token_service_document, enrolment_document]
)
def test_every_process_may_look_certificates_up(tmp_path: Path, document: Any) -> None:
    """Nothing said of it is nothing looked up; five seconds unless said."""
    assert read(tmp_path, document()).revocation is None
    found = read(tmp_path, document(revocation={"url": URL})).revocation
    assert found == RevocationConfig(url=URL, bound=5.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bound": 3}, "2 s in a cache and 1 s between two questions leave nothing of"),
        ({"bound": 3601}, "<= 3600"),
        ({"url": "https://ca.shop.internal/pki"}, "revocation.url"),
        ({"url": f"{URL}/"}, "revocation.url"),
        ({"url": f"{URL}?x"}, "revocation.url"),
        ({"poll": 1}, "unknown field `poll`"),
    ],
)
def test_one_mistake_is_named(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """A bound that leaves no time has the sum."""
    with pytest.raises(ConfigError) as refusal:
        read(tmp_path, service_document(revocation={"url": URL} | changes))
    assert said in str(refusal.value)
