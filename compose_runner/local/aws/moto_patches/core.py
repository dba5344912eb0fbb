"""moto's server itself, and what every backend shares."""

from __future__ import annotations

from typing import Any

from moto.core.common_models import BaseModel
from moto.moto_server import werkzeug_app

from compose_runner.local.aws.moto_patches.patch import Kind, Patch


def _new_instance(cls: Any, *_: Any, **__: Any) -> Any:
    return object.__new__(cls)


PATCHES = (
    Patch(
        "no CORS",
        Kind.OURS,
        "moto/moto_server/werkzeug_app.py",
        "Every answer of the server says that pages of every site may read it.",
        werkzeug_app,
        {"DISABLE_GLOBAL_CORS": True},
    ),
    Patch(
        "no list of everything",
        Kind.OURS,
        "moto/core/common_models.py",
        "Everything that was ever made stays in a list for a page of moto's own, whatever becomes of it.",
        BaseModel,
        {"__new__": staticmethod(_new_instance)},
    ),
)
