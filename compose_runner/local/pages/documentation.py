"""The HTTP interface as a page and as an OpenAPI document: the four functions, and what the embedded service adds."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from compose_runner.service import openapi
from compose_runner.service.pages import Page, make_page

_TEMPLATE = "documentation.html.jinja"
_JOB = {
    "type": "object",
    "required": ["artifact_prefix", "job_id", "status", "execution_status", "start_time", "status_url"],
    "properties": {
        "artifact_prefix": {"type": "string", "description": "The job's name."},
        "job_id": {"type": "string"},
        "status": {"enum": ["RUNNING", "SUCCEEDED", "FAILED"]},
        "execution_status": {"type": "string"},
        "start_time": {"type": "string", "format": "date-time"},
        "stop_time": {"type": "string", "format": "date-time"},
        "meta_analysis_id": {"type": "string"},
        "name": {"type": "string", "description": "What the researcher called the meta-analysis."},
        "estimator": {"type": "string"},
        "status_url": {"type": "string", "description": "Below this service's address; a page in a browser."},
        "progress": {"type": "object", "description": "Of a running job, as in the reply of status."},
        "report": {"type": "boolean", "description": "Whether the job left a report."},
        "result_url": {"type": "string", "description": "The result on Neurosynth Compose."},
        "error": {"type": "string", "description": "Why the job failed."},
    },
}
_BUNDLE = {
    "type": "object",
    "required": ["studyset", "annotation", "specification"],
    "properties": {
        "studyset": {"type": "object"},
        "annotation": {"type": "object"},
        "specification": {"type": "object"},
        "meta_analysis": {"type": "object", "description": "Labels: id and name."},
    },
}
_REMOVED = {
    "type": "object",
    "required": ["artifact_prefix", "status", "left"],
    "properties": {
        "artifact_prefix": {"type": "string"},
        "status": {"const": "REMOVED"},
        "left": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Files in the job's folder that it did not write, and that are still there.",
        },
    },
}
_NAME = {
    "name": "job",
    "in": "path",
    "required": True,
    "description": "The job's name, or its job_id.",
    "schema": {"type": "string"},
}


@lru_cache(maxsize=1)
def service_document() -> dict[str, Any]:
    """Make the OpenAPI document of the embedded service."""
    document = openapi.document()
    status = document["paths"]["/status"]["get"]["responses"]
    submitted = document["paths"]["/submit"]["post"]["responses"]
    return {
        **document,
        "paths": {
            **document["paths"],
            "/jobs": {
                "get": {
                    "operationId": "jobs",
                    "summary": "List the newest 200 jobs.",
                    "responses": {"200": _answer("The newest first.", _describe_list(_JOB))},
                }
            },
            "/jobs/{job}": {
                "get": {
                    "operationId": "job",
                    "summary": "Tell how a job is, as status does.",
                    "parameters": [_NAME],
                    "responses": status,
                },
                "delete": {
                    "operationId": "remove",
                    "summary": "Remove a job that has ended: its record, log and artifacts.",
                    "parameters": [_NAME],
                    "responses": {
                        "200": _answer("It is removed.", _REMOVED),
                        "400": status["400"],
                        "404": status["404"],
                        "409": {**submitted["409"], "description": "The job runs."},
                    },
                },
            },
            "/bundles": {
                "post": {
                    "operationId": "bundle",
                    "summary": "Start a job from a bundle; its result is not published.",
                    "parameters": [
                        {"name": name, "in": "query", "required": False, "schema": schema}
                        for name, schema in (("artifact_prefix", {"type": "string"}), ("n_cores", {"type": "integer"}))
                    ],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": _BUNDLE}}},
                    "responses": submitted,
                }
            },
            "/health": {
                "get": {
                    "operationId": "health",
                    "summary": "Tell that the service answers; needs no token.",
                    "responses": {
                        "200": _answer("It does.", {"type": "object", "properties": {"status": {"const": "ok"}}})
                    },
                }
            },
        },
    }


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _describe_list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["jobs"], "properties": {"jobs": {"type": "array", "items": schema}}}


@lru_cache(maxsize=1)
def documentation_page() -> Page:
    """Make the page of the OpenAPI document; it has no script and asks nobody for anything."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    document = service_document()
    schemas = document["components"]["schemas"]
    html = environment.get_template(_TEMPLATE).render(
        document=document,
        operations=[
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ],
        resolved=lambda schema: _resolved(schema, schemas),
        kind=_kind,
    )
    return make_page(html)


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = str(schema.get("$ref") or "")
    found: dict[str, Any] = schemas[reference.rpartition("/")[2]] if reference else schema
    return found


def _kind(schema: dict[str, Any]) -> str:
    """A few words for a schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    bounds = {"minimum": "at least", "maximum": "at most", "maxLength": "characters at most", "pattern": "like"}
    said = [f"{words} {schema[bound]}" for bound, words in bounds.items() if bound in schema]
    return ", ".join([str(schema.get("format") or schema.get("type") or "anything"), *said])
