"""The data directory: private, and whatever somebody else does to its files, the rest of it is served."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_runner.local.state.directory import StateDirectory
from compose_runner.local.state.faults import StorageError
from compose_runner.local.state.logs import MAX_LINE_BYTES
from compose_runner.local.state.objects import FileBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB = {
    "name": "broken",
    "status": "SUCCEEDED",
    "startDate": "2026-11-25T10:00:00+00:00",
    "stopDate": "2026-11-25T10:01:00+00:00",
    "input": '{"artifact_prefix": "broken"}',
    "output": '{"a": 1}',
    "error": None,
    "cause": None,
}
LINE = {"group": "/task", "timestamp": 1_790_000_000_000, "message": "m"}
SECRET = "what is outside"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.WARNING, logger="compose_runner.serve")
    return lambda: caplog.text


def filled(data: Path) -> None:
    """A directory with a whole job and one that is to be damaged."""
    state_directory = StateDirectory(data)
    for name in ("whole", "broken"):
        state_directory.jobs.write({**JOB, "name": name})
        state_directory.logs.add(name, "/task", 1_790_000_000_000, f"line of {name}")
        path = state_directory.objects.find_path(f"results/{name}/tables/table.tsv", "results")
        assert path is not None
        state_directory.objects.write(path, b"table")
    state_directory.close()


def everything(data: Path) -> dict[str, Any]:
    """What a service finds in the directory at its start and afterwards."""
    state_directory = StateDirectory(data)
    try:
        state_directory.check()
        number = state_directory.jobs.fail_running()
        objects = {
            below: FileBuffer(path, state_directory.objects).read() for below, path in state_directory.objects.files()
        }
        return {
            "number": number,
            "jobs": {name: state_directory.jobs.read(name) for name in ("whole", "broken")},
            "lines": {name: list(state_directory.logs.read(name)) for name in ("whole", "broken")},
            "objects": objects,
        }
    finally:
        state_directory.close()


def is_whole(found: dict[str, Any]) -> bool:
    return (
        found["jobs"]["whole"] is not None
        and [line.message for line in found["lines"]["whole"]] == ["line of whole"]
        and found["objects"]["whole/tables/table.tsv"] == b"table"
        and SECRET.encode() not in b"".join(found["objects"].values())
        and SECRET not in "".join(line.message for line in found["lines"]["broken"])
    )


def modes(data: Path) -> set[tuple[str, int]]:
    found = set()
    for path in (data, *data.rglob("*")):
        status = path.lstat()
        if not path.is_symlink():
            found.add(("directory" if path.is_dir() else "file", stat.S_IMODE(status.st_mode)))
    return found


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_only_the_owner_can_look_into_the_directory(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        filled(tmp_path / "data")
        assert modes(tmp_path / "data") == {("directory", 0o700), ("file", 0o600)}
    finally:
        os.umask(before)


def test_what_others_could_read_is_private_after_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    filled(data)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x")
    elsewhere.chmod(0o644)
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (data / "artifacts" / "link").symlink_to(elsewhere)
    (data / "of-the-user").write_text("x")
    (data / "of-the-user").chmod(0o644)
    assert is_whole(everything(data))
    (data / "of-the-user").chmod(0o600)
    assert modes(data) == {("directory", 0o700), ("file", 0o600)}
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "name", ["thesis.txt", "logs/run.sh", "jobs", "artifacts/.x.part", ".bashrc", "demo-uploads/a"]
)
def test_a_directory_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    data = tmp_path / "home"
    (data / name).parent.mkdir(parents=True)
    (data / name).write_text("mine")
    (data / name).chmod(0o755)
    data.chmod(0o755)

    def found() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in (data, *data.rglob("*"))
        }

    before = found()
    with pytest.raises(FileExistsError, match=name.split("/", maxsplit=1)[0]):
        StateDirectory(data)
    assert found() == before


def test_what_a_service_left_at_its_first_start_is_gone_on_with(tmp_path: Path) -> None:
    data = tmp_path / "data"
    names = [".lock", "artifacts", "jobs", "logs", "demo-uploads"]
    for number in range(len(names) + 1):
        data.mkdir()
        for name in names[:number]:
            (data / name).touch() if name == ".lock" else (data / name).mkdir()
        StateDirectory(data).close()
        shutil.rmtree(data)


def damaged_records() -> Iterator[tuple[str, bytes]]:
    good = json.dumps(JOB).encode()
    yield "truncated", good[:40]
    yield "empty", b""
    documents: tuple[Any, ...] = ([], None, 5, "text", {}, {**JOB, "name": "other"}, {**JOB, "name": "../../x"})
    for document in documents:
        yield f"is {document!r}"[:30], json.dumps(document).encode()
    values: tuple[Any, ...] = (5, [], {}, True, "WHAT", "0001-01-01T00:00:00+14:00")
    for field in ("startDate", "stopDate", "input", "output", "status", "name", "error"):
        for value in values:
            if field != "error" or not isinstance(value, str):
                yield f"{field} {value!r}", json.dumps({**JOB, field: value}).encode()
    for field in ("startDate", "input", "status", "name"):
        yield f"no {field}", json.dumps({name: value for name, value in JOB.items() if name != field}).encode()
    yield "binary", bytes(range(256))
    yield "utf-16", good.decode().encode("utf-16")
    yield "deep", b"[" * 100_000
    yield "deep input", json.dumps({**JOB, "input": "[" * 100_000}).encode()
    yield "surrogate", good.replace(b"SUCCEEDED", b"\\ud800")


@pytest.mark.parametrize(("what", "content"), list(damaged_records()), ids=[what for what, _ in damaged_records()])
def test_a_record_that_is_none_is_skipped_and_named(
    tmp_path: Path, warnings: Callable[[], str], what: str, content: bytes
) -> None:
    filled(tmp_path)
    (tmp_path / "jobs" / "broken.json").write_bytes(content)
    found = everything(tmp_path)
    assert is_whole(found)
    assert (found["jobs"]["broken"], found["number"]) == (None, 1)
    assert "broken.json is skipped" in warnings()


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(256)) * 4,
        b"5\n",
        b"null\n[]\n",
        b'{"group": "/task"}\n',
        b'{"group": "/task", "timestamp": "x", "message": "m"}\n',
        b'{"group": "/task", "timestamp": 1e400, "message": "m"}\n',
        b'{"group": "/task", "timestamp": true, "message": "m"}\n',
        b'{"group": "/task", "timestamp": -1, "message": "m"}\n',
        b'{"group": 5, "timestamp": 1, "message": {}}\n',
        b"\0" * 4096,
        b"[" * 100_000 + b"\n",
        b"x" * (MAX_LINE_BYTES * 2) + b"\n",
    ],
    ids=range(12),
)
def test_a_line_that_is_no_record_is_skipped_and_its_file_named(
    tmp_path: Path, warnings: Callable[[], str], content: bytes
) -> None:
    filled(tmp_path)
    log = tmp_path / "logs" / "broken.jsonl"
    log.write_bytes(content + b"\n" + json.dumps({**LINE, "message": "after it"}).encode() + b"\n")
    found = everything(tmp_path)
    assert is_whole(found)
    assert [line.message for line in found["lines"]["broken"]] == ["after it"]
    # the other lines are served, so that the file is not what is skipped
    assert f"a line of {log} is skipped" in warnings()


KINDS = ("link out", "broken link", "link to a directory", "pipe", "directory", "unreadable name", "loop")
PATHS = (
    "jobs/broken.json",
    "logs/broken.jsonl",
    "artifacts/broken/tables/table.tsv",
    "artifacts/broken",
    "artifacts/broken/tables",
    "artifacts/odd",
    "jobs",
    "logs",
    "artifacts",
    "demo-uploads",
    ".lock",
)


def put(kind: str, path: Path, outside: Path) -> None:
    """Put something odd in a file's or a directory's place."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.parent / f"was-{path.name}-{len(list(path.parent.iterdir()))}")
    else:
        path.unlink(missing_ok=True)
    if kind == "link out":
        path.symlink_to(outside / "secret")
    elif kind == "broken link":
        path.symlink_to("/nonexistent")
    elif kind == "link to a directory":
        path.symlink_to(outside)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
        (path / "inside").write_text("x")
    else:
        (path.parent / os.fsdecode(b"\xff\x07\n")).write_text("x")


def make_outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (outside / "broken.json").write_text(json.dumps(JOB))
    return outside


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_in_a_files_place_is_skipped_and_named(
    tmp_path: Path, warnings: Callable[[], str], kind: str, name: str
) -> None:
    outside = make_outside(tmp_path)
    data = tmp_path / "data"
    filled(data)
    put(kind, data / name, outside)
    found = everything(data)
    if name in ("jobs", "logs", "artifacts", "demo-uploads"):  # gone, with what was in them, but not in the way
        assert all(SECRET.encode() not in content for content in found["objects"].values())
        assert kind in ("directory", "unreadable name") or "is now" in warnings()
    else:
        assert is_whole(found)
        assert (
            (kind, name) == ("unreadable name", ".lock") or (kind == "directory" and "artifacts" in name) or warnings()
        )
    # jobs go on, and nothing outside is written to
    state_directory = StateDirectory(data)
    for job in ("new", "broken"):
        for write in (
            lambda job=job: state_directory.jobs.write({**JOB, "name": job}),
            lambda job=job: state_directory.objects.write(
                state_directory.objects.folder / job / "tables" / "table.tsv", b"new"
            ),
        ):
            try:
                write()
            except StorageError:
                assert job == "broken"
        state_directory.logs.add(job, "/task", 1, "new line")
    assert state_directory.jobs.read("new") is not None
    state_directory.close()
    assert sorted(path.name for path in outside.iterdir()) == ["broken.json", "secret"]
    assert (outside / "secret").read_text() == SECRET


names = st.one_of(
    st.sampled_from(PATHS),
    st.builds(
        lambda folder, name: f"{folder}/{name}",
        st.sampled_from(["jobs", "logs", "artifacts", "artifacts/broken", "artifacts/.progress"]),
        st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20).filter(
            lambda name: name not in (".", "..") and "whole" not in name
        ),
    ),
)
contents = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=8,
    ).map(lambda document: json.dumps(document).encode()),
    st.dictionaries(
        st.sampled_from([*JOB, *LINE]),
        st.none() | st.integers() | st.text(max_size=20) | st.sampled_from([*JOB.values(), *LINE.values()]),
    ).map(lambda changes: json.dumps({**JOB, **changes}).encode() + b"\n" + json.dumps({**LINE, **changes}).encode()),
)


@given(damages=st.lists(st.tuples(names, st.one_of(contents, st.sampled_from(KINDS))), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_damage_ends_the_service_or_touches_what_is_whole(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[str, bytes | str]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("damage")
    outside = make_outside(tmp_path)
    data = tmp_path / "data"
    filled(data)
    for name, damage in damages:
        path = data / name
        if any(parent.is_symlink() for parent in path.parents):  # this test itself must not write outside
            continue
        try:
            path.parent.mkdir(exist_ok=True)
            if isinstance(damage, str):
                put(damage, path, outside)
            elif not path.is_symlink() and not path.is_fifo():  # a pipe would wait for its reader
                path.write_bytes(damage)
        except OSError:  # an earlier damage is in the way of this one
            continue
    found = everything(data)
    if not any(name in ("jobs", "logs", "artifacts") for name, _ in damages):
        assert is_whole(found)
    assert sorted(path.name for path in outside.iterdir()) == ["broken.json", "secret"]


def test_a_full_disk_is_told_once_and_leaves_what_was_there(
    tmp_path: Path, warnings: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    state_directory = StateDirectory(tmp_path)
    table = state_directory.objects.folder / "whole" / "tables" / "table.tsv"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "chmod", full)
        for _ in range(5):
            with pytest.raises(StorageError, match="is full"):
                state_directory.objects.write(table, b"new")
            with pytest.raises(StorageError):
                state_directory.jobs.write({**JOB, "name": "whole"})
            state_directory.logs.add("whole", "/task", 1, "a line")
    assert warnings().count("\n") == 1
    assert "free space" in warnings()
    assert table.read_bytes() == b"table"
    assert [path.name for path in table.parent.iterdir()] == ["table.tsv"]
    state_directory.objects.write(table, b"new")
    assert table.read_bytes() == b"new"
    state_directory.close()


def test_a_line_after_one_that_was_cut_off_is_whole(tmp_path: Path) -> None:
    filled(tmp_path)
    log = tmp_path / "logs" / "whole.jsonl"
    log.write_bytes(log.read_bytes() + b'{"group": "/ta')
    state_directory = StateDirectory(tmp_path)
    state_directory.logs.add("whole", "/task", 1, "next")
    assert [line.message for line in state_directory.logs.read("whole")] == ["line of whole", "next"]
    state_directory.close()
