"""Describe the answers of `operations.app` (OpenAPI 3.1)."""

from services.openapi import TEXT, Json, answer, json, members, of_the_server, refusals
from services.operations.app import HEALTH, METRICS, READINESS


def operations_paths(document: str) -> Json:
    """Return the paths that every process has; `document` is the description's own."""
    word = {"type": "string", "const": "alive"}
    ready = {"type": "string", "const": "ready"}
    failing = members(
        {
            "status": {"type": "string", "const": "not ready"},
            "failing": {"type": "array", "items": TEXT, "minItems": 1},
        }
    )
    exposition = {"text/plain": {"schema": TEXT}}
    return {
        HEALTH: _get(
            "Whether the process is alive",
            {"200": answer("It is.", json(members({"status": word})))},
        ),
        READINESS: _get(
            "Whether every part of the process is well",
            {
                "200": answer("It is ready.", json(members({"status": ready}))),
                "503": answer("These parts are not well.", json(failing)),
            },
        ),
        METRICS: _get(
            "What the process has counted, for those it names as monitors",
            {
                "200": answer("In Prometheus' text format.", exposition),
                **refusals([(403, "access_denied")]),
            },
        ),
        document: _get(
            "This description",
            {"200": answer("OpenAPI 3.1.", json({"type": "object"}))},
        ),
    }


def _get(summary: str, responses: Json) -> Json:
    return {"get": {"summary": summary, "responses": of_the_server(responses)}}
