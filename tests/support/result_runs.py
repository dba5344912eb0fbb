"""Runs without their computation: they do to a result directory what a run does, and can be killed at any step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.result_directory import STATE, ResultDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.compose.environments import Environment

# what changes a file system
_CHANGES = ("link", "replace", "fsync", "mkdir", "rename", "unlink", "rmdir")


def run(
    result_dir: Path,
    files: Mapping[str, bytes],
    *,
    overwrite: bool = False,
    inputs: tuple[Bundle, Environment] | None = None,
) -> list[str]:
    """Do with a directory what a run does; gives the names that it lists."""
    from compose_runner.analysis.publish.publishing import prepare_publish

    directory = ResultDirectory(result_dir)
    with directory.claimed(overwrite=overwrite):
        directory.clear()
        if inputs is not None:
            prepare_publish(directory, *inputs)
        with directory.writing() as folder:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        listed = directory.artifacts()
        metadata = {"compose_runner_version": "1.0.0", "artifacts": listed}
        directory.write_metadata({**metadata, "result_url": None})
        directory.write_metadata({**metadata, "result_url": "https://page"})
    return [artifact["filename"] for artifact in listed]


def contents(result_dir: Path) -> dict[str, bytes | str]:
    """Everything visible below a folder: files with their bytes, links with their targets, empty folders."""
    found: dict[str, bytes | str] = {}
    for root, folders, files in os.walk(result_dir):
        if STATE in folders:
            folders.remove(STATE)
        for name in [*files, *folders]:
            path = Path(root, name)
            key = str(path.relative_to(result_dir))
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            elif path.is_file():
                found[key] = path.read_bytes()
            elif not any(path.iterdir()):
                found[key] = "an empty folder"
    return found


def killed_at(step: int, action: Callable[..., object], *arguments: Any, **more: Any) -> None:
    """Act until the given change to the file system, and die there: exit code 9, otherwise 0, or 1 after an error."""
    steps = iter(range(step))

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **more: Any) -> Any:
            if next(steps, None) is None:
                os._exit(9)
            return change(*arguments, **more)

        return changed

    for name in _CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    code = 1
    try:
        action(*arguments, **more)
        code = 0
    finally:
        os._exit(code)
