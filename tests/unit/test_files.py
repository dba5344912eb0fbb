"""A file is replaced whole, or left as it was."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from compose_runner.files import atomic_write, is_unfinished

if TYPE_CHECKING:
    from pathlib import Path


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metadata.json"
    atomic_write(path, json.dumps({"seed": 1}).encode())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, json.dumps({"seed": 2}).encode())
    assert json.loads(path.read_bytes()) == {"seed": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["metadata.json"]


def test_a_file_has_the_mode_that_is_asked_for_and_an_unfinished_one_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(descriptor: int) -> None:
        (unfinished,) = tmp_path.iterdir()
        seen.append(is_unfinished(unfinished))

    monkeypatch.setattr("os.fsync", note)
    for mode in (0o600, 0o644):
        path = tmp_path / f"{mode:o}" / "file"
        atomic_write(path, b"content", mode=mode, sync=False)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        path.unlink()
        path.parent.rmdir()

    atomic_write(tmp_path / "file", b"content")
    assert seen == [True]
    assert not is_unfinished(tmp_path / "file")
