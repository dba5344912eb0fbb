"""The OpenAPI document of the four functions, made from the contract's models.

``python -m compose_runner.openapi > openapi.json`` writes the copy in the repository. Each function has a URL of its
own and answers on any path; the paths here are the functions' names, for a gateway or a reader.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from compose_runner import __version__
from compose_runner.contract import (
    IDEMPOTENCY_KEY_HEADER,
    MAX_IDEMPOTENCY_KEY_CHARACTERS,
    ErrorReply,
    LogsReply,
    LogsRequest,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
    SubmitReply,
    SubmitRequest,
)

if TYPE_CHECKING:
    from compose_runner.model import Model

REFERENCES = "#/components/schemas/{model}"
ERRORS = {
    400: "The body is not a JSON object, or a field is missing or malformed; the text names it.",
    403: "The deployment does not let clients stop jobs.",
    404: "There is no such job.",
    405: "The function has no such method.",
    409: "The name, or the idempotency key, belongs to another job.",
    500: "A service behind the function failed.",
}
_FUNCTIONS: tuple[tuple[str, str, type[Model], type[Model], int, tuple[int, ...]], ...] = (
    ("submit", "Start a job", SubmitRequest, SubmitReply, 202, (400, 409, 500)),
    ("status", "Tell how a job is", StatusRequest, StatusReply, 200, (400, 404, 500)),
    ("logs", "Give a job's log records", LogsRequest, LogsReply, 200, (400, 500)),
    ("results", "Give addresses of a job's artifacts", ResultsRequest, ResultsReply, 200, (400, 500)),
)


def document() -> dict[str, Any]:
    """Make the OpenAPI 3.1 document."""
    schemas: dict[str, Any] = {}
    for mode, position in (("validation", 2), ("serialization", 3)):
        models: list[type[Model]] = [entry[position] for entry in _FUNCTIONS]  # type: ignore[misc]
        if mode == "serialization":
            models.append(ErrorReply)
        inputs: Any = [(model.__name__, mode, model.core_schema()) for model in models]
        _, definitions = GenerateJsonSchema(ref_template=REFERENCES).generate_definitions(inputs)
        schemas.update({str(name): schema for name, schema in definitions.items()})
    paths = {f"/{entry[0]}": _path(*entry) for entry in _FUNCTIONS}
    paths["/status"]["delete"] = _cancel(paths["/status"]["get"])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "compose-runner",
            "version": __version__,
            "summary": "Run meta-analyses from Neurosynth Compose with NiMARE.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "paths": paths,
        "components": {"schemas": {name: schemas[name] for name in sorted(schemas)}},
    }


def _path(
    name: str, summary: str, request: type[Model], reply: type[Model], status: int, errors: tuple[int, ...]
) -> dict[str, Any]:
    answers = {str(status): _answer(reply.__doc__ or summary, reply)}
    answers |= {str(code): _answer(ERRORS[code], ErrorReply) for code in errors}
    post: dict[str, Any] = {
        "operationId": name,
        "summary": f"{summary}.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference(request)}}},
        "responses": answers,
    }
    get: dict[str, Any] = {
        "operationId": f"{name}ByQuery",
        "summary": f"{summary}, the fields in the query string.",
        "parameters": _query_parameters(request),
        "responses": answers,
    }
    if name == "submit":
        header = {
            "name": IDEMPOTENCY_KEY_HEADER,
            "in": "header",
            "required": False,
            "description": "The client's name for this request: repeated, it gets the first answer, and no second job.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_IDEMPOTENCY_KEY_CHARACTERS,
                "pattern": "^[\\x20-\\x7e]+$",
            },
        }
        post["parameters"] = [header]
        get["parameters"] = [*get["parameters"], header]
    return {"post": post, "get": get}


def _cancel(get: dict[str, Any]) -> dict[str, Any]:
    return {
        **get,
        "operationId": "cancel",
        "summary": "Stop a running job, where the deployment allows it, and tell how it is.",
        "responses": {**get["responses"], "403": _answer(ERRORS[403], ErrorReply)},
    }


def _query_parameters(request: type[Model]) -> list[dict[str, Any]]:
    core_schema: Any = request.core_schema()
    schema = GenerateJsonSchema(ref_template=REFERENCES).generate(core_schema)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema["properties"].items()
        if name not in ("nsc_key", "nv_key")  # addresses are logged on their way, bodies are not
    ]


def _answer(description: str, model: type[Model]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _reference(model)}}}


def _reference(model: type[Model]) -> dict[str, str]:
    return {"$ref": REFERENCES.format(model=model.__name__)}


def text() -> str:
    """Give the document as it is kept in the repository."""
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
