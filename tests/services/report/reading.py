"""Read a page as XML: what is shown, what a table holds, what it would fetch."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

FETCHING = ("src", "href", "srcset", "data", "action", "poster", "background")
_INSIDE = re.compile(r"^(#|data:,$)")


def parse(page: str) -> ET.Element:
    """Return the page's root; a page that is not well-formed raises."""
    return ET.fromstring(page)  # noqa: S314 - it is our own


def words(element: ET.Element) -> str:
    """Return everything that is written in `element`, by single spaces."""
    return " ".join(" ".join(element.itertext()).split())


def rows(root: ET.Element, table: str) -> list[str]:
    """Return the rows of all tables of a class, each as its words."""
    return [
        " ".join(words(cell) for cell in row)
        for found in root.iter("table")
        if table in found.get("class", "").split()
        for row in found.iter("tr")
        if row.find("th[@scope='row']") is not None
    ]


def lines(root: ET.Element, tried: str) -> set[str]:
    """Return the lines of the picture that are drawn as `tried`, by their titles."""
    return {
        words(title).partition(":")[0]
        for group in root.iter("g")
        if group.get("class") == tried
        for title in group.findall("title")
    }


def fetched(root: ET.Element) -> Iterator[str]:
    """Yield whatever a browser would load for the page, from anywhere else."""
    for element in root.iter():
        if element.tag in {"script", "iframe", "object", "embed", "base", "form"}:
            yield element.tag
        for name, value in element.attrib.items():
            if name.split("}")[-1] in FETCHING and not _INSIDE.match(value):
                yield f"{name}={value}"
            if re.search(r"url\((?!#)", value) or name.startswith("on"):
                yield f"{name}={value}"
    for style in root.iter("style"):
        yield from re.findall(r"@import|url\((?!#)[^)]*\)|https?:", style.text or "")
