"""The page in a real browser: on a phone, at a desk, in the dark and on paper."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.report.observations import Observations, read_observations
from services.report.page import render_page
from tests.services.report.browser import Chromium, browser
from tests.services.report.fleets import NOW, drill_of, fleet

THEFTS = (
    ("by its owner, storefront", "accepted", "accepted"),
    ("with stock's valid certificate", "accepted", "bound to another certificate"),
)
WIDTHS = [360, 768, 1280]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Return a running browser, or skip."""
    with browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def pages(
    seen: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Return a page of the sample, one of a large fleet and one with long names."""
    directory = tmp_path_factory.mktemp("pages")
    long = json.loads(json.dumps(seen).replace("storefront", "storefront" * 6))
    observed: dict[str, Observations] = {
        "sample": read_observations(json.dumps(seen).encode()),
        "large": msgspec.structs.replace(fleet(30), drill=drill_of(*THEFTS)),
        "long": read_observations(json.dumps(long).encode()),
    }
    paths = {name: directory / f"{name}.html" for name in observed}
    for name, path in paths.items():
        path.write_text(render_page(observed[name], NOW, {"certbound": "1"}))
    return paths


@pytest.mark.parametrize("name", ["sample", "large", "long"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_is_quiet(
    chromium: Chromium, pages: dict[str, Path], name: str, width: int
) -> None:
    """No width overflows; nothing is requested but the page; the console is empty."""
    page = chromium.open(pages[name], width=width)
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.requests == [pages[name].as_uri()]
    assert page.messages == []
    cut = page.value(
        "[...document.querySelectorAll('td,th,dd,text')].filter(e => !e.closest("
        "'.scroll,.axis') && e.getBoundingClientRect().right > innerWidth).length"
    )
    assert cut == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screenshot_shows_something(
    chromium: Chromium, pages: dict[str, Path], scheme: str
) -> None:
    """The page is painted in many colours, on paper that suits the scheme."""
    page = chromium.open(pages["sample"], width=600, scheme=scheme)
    colours = colours_of(page.screenshot())
    assert len(colours) > 50
    paper = max(colours, key=lambda colour: colours[colour])
    assert (min(paper) > 200) == (scheme == "light")


def test_text_has_contrast(chromium: Chromium, pages: dict[str, Path]) -> None:
    """Muted text on the page's paper keeps WCAG's 4.5 : 1 in both schemes."""
    for scheme in ("light", "dark"):
        page = chromium.open(pages["sample"], width=1280, scheme=scheme)
        styles = "getComputedStyle(document.documentElement).getPropertyValue('--{}')"
        for ink in ("ink", "muted", "good", "warn", "bad"):
            for paper in ("paper", "card"):
                pair = [page.value(styles.format(name)) for name in (ink, paper)]
                light, dark = sorted(map(luminance, pair), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, ink, paper)


def test_the_page_prints(chromium: Chromium, pages: dict[str, Path]) -> None:
    """It becomes a PDF of a few pages."""
    printed = chromium.open(pages["sample"], width=1280).printed()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") <= 8


def test_a_script_in_a_page_would_not_run(chromium: Chromium, tmp_path: Path) -> None:
    """The policy in the page forbids scripts, should one ever get in."""
    path = tmp_path / "page.html"
    text = render_page(Observations(), NOW, {})
    path.write_text(
        text.replace("</body>", "<script>document.title='no'</script></body>")
    )
    page = chromium.open(path, width=360)
    assert page.value("document.title") != "no"
    assert any("Content Security Policy" in said for said in page.messages)


def luminance(colour: str) -> float:
    """Return the relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    text = colour.strip().removeprefix("#")
    text = text if len(text) == 6 else "".join(2 * digit for digit in text)
    parts = [int(text[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def colours_of(png: bytes) -> dict[tuple[int, ...], int]:
    """Return how often each colour is in an image, from every eighth row."""
    width, height, _, kind = struct.unpack(">IIBB", png[16:26])
    size = {2: 3, 6: 4}[kind]
    packed, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(packed)
    counted: dict[tuple[int, ...], int] = {}
    above = bytearray(width * size)
    for number in range(height):
        begin = number * (width * size + 1)
        row = unfiltered(
            raw[begin],
            bytearray(raw[begin + 1 : begin + 1 + width * size]),
            above,
            size,
        )
        above = row
        if number % 8 == 0:
            for x in range(0, len(row), size * 2):
                colour = tuple(row[x : x + 3])
                counted[colour] = counted.get(colour, 0) + 1
    return counted


def unfiltered(kind: int, row: bytearray, above: bytearray, size: int) -> bytearray:
    """Return a row of a PNG as colours (PNG, section 9)."""
    for at in range(len(row)):
        left = row[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        row[at] = (row[at] + predicted(kind, left, above[at], corner)) & 255
    return row


def predicted(kind: int, left: int, up: int, corner: int) -> int:
    """Return what a filter of PNG expects of a byte."""
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda near: abs(guess - near))
    return (0, left, up, (left + up) // 2)[kind]
