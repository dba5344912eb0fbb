"""Every change that the embedded service makes to moto: a module for each part of AWS, each change with its reason.

All were found necessary with moto 5.2.5. ``tests/integration/test_local_moto_patches.py`` takes each one
away in turn and fails as soon as a newer moto behaves well without it; then the patch is to be removed.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from compose_runner.local.aws.moto_patches import core, ecs, integrations, logs, run_task, s3, stepfunctions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.local.aws.moto_patches.patch import Patch

PATCHES: tuple[Patch, ...] = (
    *core.PATCHES,
    *integrations.PATCHES,
    *run_task.PATCHES,
    *ecs.PATCHES,
    *stepfunctions.PATCHES,
    *s3.PATCHES,
    *logs.PATCHES,
)

_ABSENT = object()
_originals: dict[str, dict[str, Any]] = {}
_install_lock = threading.Lock()


def install() -> None:
    """Apply every patch that is not applied."""
    with _install_lock:
        for patch in PATCHES:
            if patch.name not in _originals:
                _apply(patch)


def uninstall() -> None:
    """Give this process moto back as it was."""
    with _install_lock:
        for patch in PATCHES:
            if patch.name in _originals:
                _take_away(patch)
    integrations.forget_clients()


def _apply(patch: Patch) -> None:
    # vars(), not getattr(): an inherited attribute must be inherited again when the patch is taken away
    _originals[patch.name] = {name: vars(patch.owner).get(name, _ABSENT) for name in patch.attributes}
    for name, value in patch.attributes.items():
        setattr(patch.owner, name, value)


@contextmanager
def without(name: str) -> Iterator[None]:
    """Take one patch away for a while: how a test learns whether moto still needs it."""
    patch = next(patch for patch in PATCHES if patch.name == name)
    _take_away(patch)
    try:
        yield
    finally:
        _apply(patch)


def _take_away(patch: Patch) -> None:
    for attribute, value in _originals.pop(patch.name).items():
        if value is _ABSENT:
            delattr(patch.owner, attribute)
        else:
            setattr(patch.owner, attribute, value)
