"""Write ``models/``: of each service that the functions use, the operations that they call.

``python -m compose_runner.aws.trimming`` after an update of botocore; a test says when that is needed.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.loaders import Loader

from compose_runner.aws.service_data import MODELS, OPERATIONS


def trimmed(service: str) -> dict[str, Any]:
    """Take the operations in :data:`OPERATIONS` and their shapes out of botocore's description of a service.

    Parameters
    ----------
    service : str
        Its name in botocore.
    """
    full = Loader().load_service_model(service, "service-2")
    operations = {name: full["operations"][name] for name in OPERATIONS[service]}
    names: set[str] = set()
    _collect(list(operations.values()), full["shapes"], names)
    kept = {key: value for key, value in full.items() if key not in {"operations", "shapes", "documentation"}}
    kept["operations"] = operations
    kept["shapes"] = {name: full["shapes"][name] for name in sorted(names)}
    described: dict[str, Any] = _without_documentation(kept)
    return described


def text_of(service: str) -> str:
    """Give the file of a service as it belongs in ``models/``."""
    return json.dumps(trimmed(service), separators=(",", ":"), sort_keys=True) + "\n"


def _collect(part: Any, shapes: dict[str, Any], names: set[str]) -> None:
    """Collect the shapes that a part of a description refers to, and those that they refer to."""
    if isinstance(part, list):
        for item in part:
            _collect(item, shapes, names)
    elif isinstance(part, dict):
        name = part.get("shape")
        if isinstance(name, str) and name in shapes and name not in names:
            names.add(name)
            _collect(shapes[name], shapes, names)
        for value in part.values():
            _collect(value, shapes, names)


def _without_documentation(part: Any) -> Any:
    """Empty the prose, which is most of a description; botocore insists on the key in some places."""
    if isinstance(part, list):
        return [_without_documentation(item) for item in part]
    if isinstance(part, dict):
        return {
            key: "" if key == "documentation" and isinstance(value, str) else _without_documentation(value)
            for key, value in part.items()
        }
    return part


def main() -> None:
    """Write the files."""
    MODELS.mkdir(exist_ok=True)
    for service in OPERATIONS:
        (MODELS / f"{service}.json").write_text(text_of(service))


if __name__ == "__main__":
    main()
