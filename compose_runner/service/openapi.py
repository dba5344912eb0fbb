"""The OpenAPI document of the four functions, made from the contract's models.

``python -m compose_runner.service.openapi > openapi.json`` writes the copy in the repository. Each function has a URL
of its own and answers on any path; the paths here are the functions' names, for a gateway or a reader.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from compose_runner import __version__
from compose_runner.service.contract import IDEMPOTENCY_KEY_HEADER, MAX_IDEMPOTENCY_KEY_CHARACTERS, ErrorReply
from compose_runner.service.operations import OPERATIONS, STATUS, Operation

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

REFERENCES = "#/components/schemas/{model}"
ERRORS = {
    400: "The body is not a JSON object, or a field is missing or malformed; the text names it.",
    403: "The deployment does not let clients stop jobs.",
    404: "There is no such job.",
    405: "The function has no such method.",
    409: "The name, or the idempotency key, belongs to another job.",
    429: "As many jobs run as the deployment allows; Retry-After says when to ask again.",
    500: "A service behind the function failed.",
}
_SECRETS = ("nsc_key", "nv_key")


def document() -> dict[str, Any]:
    """Make the OpenAPI 3.1 document."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((operation.request, "validation") for operation in OPERATIONS),
        *((operation.reply, "serialization") for operation in OPERATIONS),
        (ErrorReply, "serialization"),
    ]
    _, definitions = models_json_schema(models, ref_template=REFERENCES)
    schemas: dict[str, Any] = definitions["$defs"]
    paths = {f"/{operation.name}": _path(operation, schemas) for operation in OPERATIONS}
    paths[f"/{STATUS.name}"]["delete"] = _cancel(paths[f"/{STATUS.name}"]["get"])
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


def _path(operation: Operation[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    answers = {str(operation.status): _answer(operation.reply.__doc__ or operation.summary, operation.reply)}
    answers |= {str(code): _answer(ERRORS[code], ErrorReply) for code in operation.errors}
    if "429" in answers:
        seconds = {"type": "integer", "minimum": 0}
        answers["429"]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": seconds}}
    headers = [_IDEMPOTENCY_KEY] if operation.idempotent else []
    post: dict[str, Any] = {
        "operationId": operation.name,
        "summary": f"{operation.summary}.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference(operation.request)}}},
        "responses": answers,
        **({"parameters": headers} if headers else {}),
    }
    get: dict[str, Any] = {
        "operationId": f"{operation.name}ByQuery",
        "summary": f"{operation.summary}, the fields in the query string.",
        "parameters": [*_query_parameters(schemas[operation.request.__name__]), *headers],
        "responses": answers if operation.page is None else {**answers, "200": _with_page(answers["200"])},
    }
    return {"post": post, "get": get}


def _with_page(answer: dict[str, Any]) -> dict[str, Any]:
    """Add what a browser gets, which asks for ``text/html`` and not for JSON."""
    description = f"{answer['description']} A request whose Accept prefers text/html gets a page that shows the same."
    return {
        "description": description,
        "content": {**answer["content"], "text/html": {"schema": {"type": "string"}}},
    }


_IDEMPOTENCY_KEY = {
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


def _cancel(get: dict[str, Any]) -> dict[str, Any]:
    return {
        **get,
        "operationId": "cancel",
        "summary": "Stop a running job, where the deployment allows it, and tell how it is.",
        "responses": {
            **get["responses"],
            "200": _answer(STATUS.reply.__doc__ or STATUS.summary, STATUS.reply),
            "403": _answer(ERRORS[403], ErrorReply),
        },
    }


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema["properties"].items()
        if name not in _SECRETS  # addresses are logged on their way, bodies are not
    ]


def _answer(description: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _reference(model)}}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCES.format(model=model.__name__)}


def text() -> str:
    """Give the document as it is kept in the repository."""
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
