"""Read a topology file, and remember on which line each key stands.

YAML lets a key stand twice in a mapping (the last one silently wins) and lets aliases
nest without end; both are refused here. Called by the inventory plugin through
`topology.load`. Nothing is said here about what the keys mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

KeyPath = tuple[str | int, ...]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class TopologyError(Exception):
    """A topology cannot be used; the message is one sentence for the person."""


@dataclass(frozen=True)
class Document:
    """What a file holds, as plain values, with the line of every key."""

    path: Path
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def refuse(self, key: KeyPath, message: str) -> TopologyError:
        """Return the error that says where `key` stands and what is wrong there."""
        known = next(
            (key[:size] for size in range(len(key), 0, -1) if key[:size] in self.lines),
            None,
        )
        line = f":{self.lines[known]}" if known else ""
        return TopologyError(f"{self.path}{line}: {dotted(key)}: {message}")

    def check_declared(
        self, key: KeyPath, name: str, *, kind: str, known: Collection[str]
    ) -> None:
        """Refuse the name at `key` unless it is one of those `known`.

        Raises:
            TopologyError: nothing is declared by that name.
        """
        if name not in known:
            raise self.refuse(
                key,
                f"{name!r} is no {kind} of this topology, "
                f"expected one of {', '.join(sorted(known)) or 'none'}",
            )


def dotted(key: KeyPath) -> str:
    """Return `services.orders.scopes[0]` for the parts of a key."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "the whole file"


def read_document(path: Path) -> Document:
    """Read the YAML file at `path`.

    Raises:
        TopologyError: no such file, not YAML, a key twice, a key or value that is no
            text where one is meant, an alias.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TopologyError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TopologyError(f"{path}: expected UTF-8 text") from None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise TopologyError(f"{path}: the file is empty, expected a topology")
        document = Document(path, None)
        data = _Reader(document, loader).value(node, ())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise TopologyError(f"{path}{line}: no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise TopologyError(f"{path}: no YAML: {error}") from None
    finally:
        loader.dispose()
    return Document(path, data, document.lines)


class _Reader:
    """Turns nodes into values, noting lines."""

    def __init__(self, document: Document, loader: yaml.SafeLoader) -> None:
        self._document = document
        self._loader = loader
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, key: KeyPath) -> Any:
        self._document.lines.setdefault(key, node.start_mark.line + 1)
        # An alias is the node of its anchor a second time. Nothing here is long enough
        # to need one, and an anchor that holds itself would never end.
        if id(node) in self._seen:
            raise self._document.refuse(key, "expected the value itself, not an alias")
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, (*key, index)) for index, item in enumerate(node.value)
            ]
        return self._scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, key: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            name = self._scalar(name_node, key)
            # `on` and `no` are truth values to YAML 1.1, and make odd service names.
            if not isinstance(name, str):
                self._document.lines[key] = line
                raise self._document.refuse(
                    key, f"key {name_node.value!r} is no text, expected it in quotes"
                )
            here = (*key, name)
            if name in values:
                first = self._document.lines[here]
                self._document.lines[here] = line
                raise self._document.refuse(
                    here, f"stands twice, first on line {first}; expected once"
                )
            self._document.lines[here] = line
            values[name] = self.value(value_node, here)
        return values

    def _scalar(self, node: yaml.Node, key: KeyPath) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise self._document.refuse(
                key, "a key is a list or mapping, expected text"
            )
        value = self._loader.construct_object(node)
        if isinstance(value, str) and _CONTROL.search(value):
            raise self._document.refuse(
                key, f"{value!r} holds a line break or the like"
            )
        return value
