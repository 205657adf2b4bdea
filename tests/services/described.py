"""An OpenAPI description, held against what is really answered."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from jsonschema import Draft202012Validator

Seen = tuple[str, str, str, str]  # method, path, status, error code


def check(answer: httpx.Response, described: Mapping[str, Any]) -> str:
    """Fail unless `answer` is one of the responses of an operation; return its code."""
    status = str(answer.status_code)
    assert status in described, f"{status} is not described: {answer.text}"
    response = described[status]
    for name, header in response.get("headers", {}).items():
        assert name in answer.headers or not header.get("required"), name
    content = response.get("content")
    if not answer.content:
        assert content is None or answer.request.method == "HEAD", "no body"
        return ""
    assert content is not None, f"a body is not described: {answer.text}"
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in content, f"{media_type} is not described"
    if media_type != "application/json":
        return ""
    Draft202012Validator(content[media_type]["schema"]).validate(answer.json())
    return str(answer.json().get("error", ""))


class Described:
    """A description, and what of it was seen."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.seen: set[Seen] = set()

    def check(self, answer: httpx.Response) -> httpx.Response:
        """Fail unless `answer` is described; note which of the answers it is."""
        method, path = answer.request.method.lower(), answer.request.url.path
        operation = self.document["paths"][path][method]
        code = check(answer, operation["responses"])
        self.seen.add((method, path, str(answer.status_code), code))
        return answer

    def expected(self) -> Iterator[Seen]:
        """Yield every answer that ought to be seen.

        Not those of the HTTP server itself, in plain text, and not the failures that
        nobody foresaw: they are provoked where they can be.
        """
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                for status, response in operation["responses"].items():
                    for code in _codes(status, response):
                        yield method, path, status, code


def _codes(status: str, response: Mapping[str, Any]) -> list[str]:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    codes = schema.get("properties", {}).get("error", {}).get("enum", [""])
    if status == "500":
        return []
    if codes == [""] and status in {"400", "503"} and not schema:
        return []
    return list(codes)
