"""Tests of `services.config`: documents of the CA's front, and of who renews."""

from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError, EnrolmentConfig
from tests.services.documents import enrolment_document, read, service_config

RENEWAL = {
    "url": "https://localhost:8450/.well-known/est",
    "spiffe_id": "spiffe://shop.internal/enrolment",
}


def front(directory: Path, **changes: Any) -> EnrolmentConfig:
    """Return what the reader makes of a document of the CA's front."""
    config = read(directory, enrolment_document(**changes))
    assert isinstance(config, EnrolmentConfig)
    return config


def test_the_front_has_its_bounds_unsaid(tmp_path: Path) -> None:
    """Without a word, each identity has ten tries, and then one a minute."""
    config = front(tmp_path)
    assert (config.label, config.waiting) == (None, 64)
    assert config.rate.burst == 10
    assert config.rate.per_second == pytest.approx(1 / 60)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ca": "certs/ca"}, "absolute path"),
        ({"issuing_passphrase": "word"}, "absolute path"),
        ({"label": "a/b"}, r"\$.label"),
        ({"waiting": 0}, r"\$.waiting"),
        ({"rate": {"per_second": 0, "burst": 1}}, r"\$.rate.per_second"),
        (
            {
                "trusted_hops": [
                    {"form": "xfcc", "spiffe_id": "spiffe://shop.internal/proxy"}
                ]
            },
            "hold its key here",
        ),
        ({"passphrase": "secret"}, "unknown field `passphrase`"),
    ],
)
def test_one_mistake_is_named(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    """A front behind a proxy would believe a header about who renews."""
    with pytest.raises(ConfigError, match=named):
        front(tmp_path, **changes)


def test_who_renews_needs_two_members(tmp_path: Path) -> None:
    """Where, and whom to meet there."""
    config = service_config(tmp_path, renewal=RENEWAL)
    assert config.renewal
    assert (config.renewal.first_pause, config.renewal.longest_pause) == (10, 900)
    assert service_config(tmp_path).renewal is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"url": "http://localhost/est"}, r"\$.renewal.url"),
        ({"spiffe_id": "ca"}, "spiffe_id"),
        ({"patience": 0}, r"\$.renewal.patience"),
        ({"first_pause": 901}, "901 s is longer than longest_pause of 900 s"),
        ({"grace": -1}, r"\$.renewal.grace"),
    ],
)
def test_one_mistake_in_renewal_is_named(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    """It is refused when it is read, not when a certificate is due."""
    with pytest.raises(ConfigError, match=named):
        service_config(tmp_path, renewal=RENEWAL | changes)


def test_the_front_publishes_nothing_unasked(tmp_path: Path) -> None:
    """With a port alone it does, with nothing before /crl."""
    assert front(tmp_path).publication is None
    publication = front(tmp_path, publication={"port": 8451}).publication
    assert publication
    assert publication.path == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"port": 0}, r"\$.publication.port"),
        ({"port": 8450}, "another port than the front's own"),
        ({"path": "pki"}, r"\$.publication.path"),
        ({"path": "/pki/"}, r"\$.publication.path"),
        ({"path": "/{scope}"}, r"\$.publication.path"),
        ({"url": "http://x"}, "unknown field `url`"),
    ],
)
def test_one_mistake_about_publication_is_named(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    """A path with a brace would be a pattern, not a name."""
    with pytest.raises(ConfigError, match=named):
        front(tmp_path, publication={"port": 8451} | changes)
