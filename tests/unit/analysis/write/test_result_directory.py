from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compose_runner.analysis.fetch.bundle import Bundle, Origin
from compose_runner.analysis.write.result_directory import STATE, ResultDirectory
from compose_runner.analysis.write.result_record import ResultRecord, run_may_write
from compose_runner.compose.environments import environment_named
from compose_runner.errors import ResultDirectoryError
from tests.support import synthetic
from tests.support.result_runs import contents, killed_at, run


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_files_appear_together_when_the_block_ends(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path / "results")
    with directory.writing() as folder:
        (folder / "z.nii.gz").write_bytes(b"map")
        (folder / "figures").mkdir()
        (folder / "figures" / "figure-map.png").write_bytes(b"picture")
        assert directory.artifacts() == []
    assert [artifact["filename"] for artifact in directory.artifacts()] == ["figures/figure-map.png", "z.nii.gz"]


def test_a_run_that_dies_while_writing_leaves_no_file_that_looks_complete(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)

    def killed_while_writing() -> None:
        with directory.writing() as folder:
            (folder / "z.nii.gz").write_bytes(b"half a m")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed_while_writing()
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("prefix", ["run-", "tmp"])
def test_what_a_killed_run_left_is_not_an_artifact_and_is_removed_by_the_next(tmp_path: Path, prefix: str) -> None:
    run(tmp_path, {})
    unfinished = tmp_path / STATE / "unfinished" / f"{prefix}a1b2c3_8"
    unfinished.mkdir(parents=True)
    (unfinished / "z.nii.gz").write_bytes(b"half a m")
    (unfinished.parent / "novel").mkdir()
    (unfinished.parent / "novel" / "draft.txt").write_bytes(b"mine")
    assert ResultDirectory(tmp_path).artifacts() == []
    assert run(tmp_path, {"p.nii.gz": b"map"}) == ["p.nii.gz"]
    assert not unfinished.exists()
    assert (unfinished.parent / "novel" / "draft.txt").read_bytes() == b"mine"


def test_artifacts_carry_size_and_checksum(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)
    directory.write("z.nii.gz", b"map")
    (artifact,) = directory.artifacts()
    assert artifact == {"filename": "z.nii.gz", "size": 3, "sha256": checksum(b"map")}


def test_neither_the_records_nor_other_peoples_files_are_artifacts(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)
    directory.write("publish.json", b"{}")
    directory.write_metadata({"seed": 42})
    (tmp_path / "private_scan.nii.gz").write_bytes(b"mine")
    (tmp_path / STATE / "images").mkdir()
    (tmp_path / STATE / "images" / "study.nii.gz").write_bytes(b"input")
    assert directory.artifacts() == []


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_a_next_run_replaces_what_the_one_before_wrote_and_nothing_else(tmp_path: Path, runs: int) -> None:
    result_dir = tmp_path / "results"
    for number in range(runs):
        name = f"z_desc-group{number}.nii.gz"
        listed = run(result_dir, {name: b"map", "report.html": b"page", "figures/figure-a.png": b"picture"})
        assert listed == ["figures/figure-a.png", "report.html", name]
        if number == 0:
            (result_dir / "private_scan.nii.gz").write_bytes(b"mine")
            (result_dir / "notes").mkdir()
            (result_dir / "notes" / "thesis.txt").write_bytes(b"mine too")
    found = contents(result_dir)
    assert found.pop("private_scan.nii.gz") == b"mine"
    assert found.pop("notes/thesis.txt") == b"mine too"
    assert set(found) == {"figures/figure-a.png", "report.html", name, "metadata.json"}


def test_a_directory_that_holds_no_result_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_bytes(b"mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ResultDirectoryError, match=r"thesis\.txt"):
        run(tmp_path, {"z.nii.gz": b"map"})
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["thesis.txt", ".unfinished-business/draft", ".checkpoints/epoch", "images/photo.jpg"])
def test_who_insists_gets_the_result_beside_the_files_that_are_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    for _ in range(2):
        assert run(tmp_path, {"z.nii.gz": b"map"}, overwrite=True) == ["z.nii.gz"]
        assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["z.nii.gz", "report.html", "metadata.json", "publish.json", "figures", "z_corr-FDR_tab-clust.tsv"]
)
@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to nothing"])
def test_what_stands_where_a_run_writes_is_never_replaced_even_when_asked(tmp_path: Path, name: str, kind: str) -> None:
    result_dir, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    result_dir.mkdir()
    elsewhere.mkdir()
    if kind == "file":
        (result_dir / name).write_bytes(b"mine")
    elif kind == "folder":
        (result_dir / name).mkdir()
    else:
        (result_dir / name).symlink_to(elsewhere if kind == "link" else tmp_path / "nothing")
    before = contents(tmp_path)
    if (kind, name) == ("folder", "figures"):
        assert run(result_dir, {"figures/figure-a.png": b"picture"}, overwrite=True) == ["figures/figure-a.png"]
        return
    with pytest.raises(ResultDirectoryError, match=name):
        run(result_dir, {name: b"map"}, overwrite=True)
    assert contents(tmp_path) == before


def test_a_file_that_was_changed_stays_and_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    run(tmp_path, {"z.nii.gz": b"map", "boilerplate.txt": b"text"})
    (tmp_path / "boilerplate.txt").write_bytes(b"text, edited")
    before = contents(tmp_path)
    with pytest.raises(ResultDirectoryError, match=r"boilerplate\.txt"):
        run(tmp_path, {"z.nii.gz": b"another map"})
    assert contents(tmp_path) == before


def test_a_file_that_appears_while_a_run_computes_stays_and_the_result_is_kept_beside_it(tmp_path: Path) -> None:
    def disturbed_run() -> None:
        directory = ResultDirectory(tmp_path)
        with directory.claimed(), directory.writing() as folder:
            (folder / "z.nii.gz").write_bytes(b"map")
            (folder / "p.nii.gz").write_bytes(b"another map")
            (tmp_path / "z.nii.gz").write_bytes(b"mine")

    with pytest.raises(ResultDirectoryError, match=r"z\.nii\.gz") as error:
        disturbed_run()
    found = contents(tmp_path)
    assert found.pop("z.nii.gz") == b"mine"
    assert sorted(found.values(), key=str) == [b"another map", b"map"]
    assert str((tmp_path / next(iter(found))).parent) in str(error.value)


def test_a_link_to_a_directory_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    run(tmp_path / "results", {"z.nii.gz": b"map"})
    run(tmp_path / "results", {"p.nii.gz": b"map"})
    assert set(contents(tmp_path / "disk")) == {"p.nii.gz", "metadata.json"}


@pytest.mark.parametrize("name", [STATE, f"{STATE}/images", f"{STATE}/checkpoints", f"{STATE}/unfinished"])
def test_a_hidden_folder_that_leads_elsewhere_is_not_used(tmp_path: Path, name: str) -> None:
    result_dir, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_bytes(b"mine")
    run(result_dir, {"z.nii.gz": b"map"})
    shutil.rmtree(result_dir / name, ignore_errors=True)
    (result_dir / name).symlink_to(elsewhere)
    with pytest.raises(ResultDirectoryError, match=r"\.compose-runner"):
        run(result_dir, {"z.nii.gz": b"map"}, overwrite=True)
    assert contents(elsewhere) == {"mine.txt": b"mine"}


def test_a_hidden_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / STATE / "unfinished").mkdir(parents=True)
    (tmp_path / STATE / "unfinished" / "novel.txt").write_bytes(b"mine")
    with pytest.raises(ResultDirectoryError, match=r"\.compose-runner"):
        run(tmp_path, {"z.nii.gz": b"map"}, overwrite=True)
    assert (tmp_path / STATE / "unfinished" / "novel.txt").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["checkpoints/notes.txt", "checkpoints/mine/notes.txt", f"checkpoints/{'a' * 24}/notes.txt"]
)
def test_a_file_of_a_person_among_the_checkpoints_stays(tmp_path: Path, name: str) -> None:
    run(tmp_path, {"z.nii.gz": b"map"})
    own = tmp_path / STATE / name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    before = contents(tmp_path)
    with pytest.raises(ResultDirectoryError, match=r"\.compose-runner"):
        run(tmp_path, {"z.nii.gz": b"map"}, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [f"checkpoints/{'a' * 24}", "images/map-0123456789abcdef.nii.gz"])
def test_checkpoints_and_maps_that_are_elsewhere_are_not_used(tmp_path: Path, name: str) -> None:
    run(tmp_path / "results", {"z.nii.gz": b"map"})
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "results" / STATE / name
    link.parent.mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResultDirectoryError, match=r"\.compose-runner"):
        run(tmp_path / "results", {"z.nii.gz": b"map"})


def test_checkpoints_of_a_run_that_was_killed_are_gone_on_with(tmp_path: Path) -> None:
    run(tmp_path, {"z.nii.gz": b"map"})
    kept = tmp_path / STATE / "checkpoints" / ("a" * 24)
    kept.mkdir(parents=True)
    for name in ("0123-0-of-1.npz", ".0123456789abcdef.part"):
        (kept / name).write_bytes(b"numbers")
    run(tmp_path, {"z.nii.gz": b"map"})
    assert (kept / "0123-0-of-1.npz").read_bytes() == b"numbers"


@pytest.mark.parametrize("name", ["lock", "record.json", "record.json.new", "metadata.json", "z.nii.gz"])
def test_a_file_of_a_person_that_has_a_second_name_here_is_not_written_into(tmp_path: Path, name: str) -> None:
    result_dir, own = tmp_path / "results", tmp_path / "own"
    run(result_dir, {"z.nii.gz": b"map"})
    path = result_dir / name if (result_dir / name).exists() else result_dir / STATE / name
    own.write_bytes(path.read_bytes() if path.exists() else b"mine")
    path.unlink(missing_ok=True)
    path.hardlink_to(own)
    before = own.read_bytes()
    run(result_dir, {"z.nii.gz": b"another map"})
    assert own.read_bytes() == before


def old_metadata(result_dir: Path, **more: Any) -> None:
    """List every file, as the version before did."""
    listed = [
        {"filename": name, "size": len(content), "sha256": checksum(content)}
        for name, content in contents(result_dir).items()
        if isinstance(content, bytes) and name != "metadata.json"
    ]
    document = {"compose_runner_version": "1.0.0", "artifacts": listed, **more}
    (result_dir / "metadata.json").write_text(json.dumps(document))


def test_a_directory_of_the_version_before_is_gone_on_with_and_what_it_listed_wrongly_stays(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("z.nii.gz", "z_tab-clust.tsv", "figures/map-0_figure-static.png", "report.html"):
        (tmp_path / name).write_bytes(b"of the run")
    for name in ("thesis.txt", "private_scan.nii.gz", "patients.tsv", "figures/holiday.png"):
        (tmp_path / name).write_bytes(b"mine")
    old_metadata(tmp_path)
    run(tmp_path, {"p.nii.gz": b"map"})
    found = contents(tmp_path)
    assert found.pop("p.nii.gz") == b"map"
    del found["metadata.json"]
    assert found == dict.fromkeys(("thesis.txt", "private_scan.nii.gz", "patients.tsv", "figures/holiday.png"), b"mine")


def test_of_a_directory_of_the_version_before_nothing_older_than_its_run_is_touched(tmp_path: Path) -> None:
    (tmp_path / "z.nii.gz").write_bytes(b"mine, in spite of its name")
    os.utime(tmp_path / "z.nii.gz", (1e9, 1e9))
    old_metadata(tmp_path, started="2026-01-01T00:00:00+00:00")
    with pytest.raises(ResultDirectoryError, match=r"z\.nii\.gz"):
        run(tmp_path, {"z.nii.gz": b"map"})
    assert (tmp_path / "z.nii.gz").read_bytes() == b"mine, in spite of its name"


@pytest.mark.parametrize("record", ["metadata.json", "record.json"])
@pytest.mark.parametrize(
    "name",
    [
        *("../outside.txt", "{outside}/outside.txt", "link/outside.txt", "a/../../outside.txt"),
        *("link.nii.gz", "", ".", "a\0b"),
    ],
)
def test_a_hostile_record_removes_nothing(tmp_path: Path, record: str, name: str) -> None:
    outside, result_dir = tmp_path / "outside", tmp_path / "outside" / "results"
    result_dir.mkdir(parents=True)
    (outside / "outside.txt").write_bytes(b"mine")
    (result_dir / "link").symlink_to(outside)
    (result_dir / "link.nii.gz").symlink_to(outside / "outside.txt")
    name = name.format(outside=outside)
    entry = {"size": 4, "sha256": checksum(b"mine")}
    if record == "metadata.json":
        document: dict[str, Any] = {"artifacts": [{"filename": name, **entry}, "nonsense", {"filename": 3}]}
        (result_dir / "metadata.json").write_text(json.dumps(document))
    else:
        (result_dir / STATE).mkdir()
        document = {"files": {name: entry, "x": None}, "folders": [name, 3, "link"]}
        (result_dir / STATE / "record.json").write_text(json.dumps(document))
    before = contents(outside)
    with_metadata = "results/metadata.json" in before
    try:
        run(result_dir, {}, overwrite=True)
    except ResultDirectoryError:
        assert contents(outside) == before
    else:
        after = contents(outside)
        assert after.pop("results/metadata.json")
        if with_metadata:
            del before["results/metadata.json"]
        assert after == before


# what people call their files, and what a record could say to mean something else than its name
FOREIGN = [
    *(
        "thesis.txt",
        "thesis.docx",
        "notes.tsv",
        "patients.tsv",
        "figures/holiday.png",
        "figures/map.png",
        "sub/z.nii.gz",
    ),
    *("private_scan.nii.gz", "zebra.nii.gz", "my_z.nii.gz", "z_scan.nii.gz", "z_old.nii.gz", "z-map.nii.gz", "p.txt"),
    *("z.nii", "z.tsv", "z_notes.tsv", "t_test.tsv", "se_patients.tsv", "p_values.tsv", "label_list.tsv", "stat.tsv"),
    *("est_2024.nii.gz", "z_desc-a b.nii.gz", "z_desc-a/b.nii.gz", "z_desc-.nii.gz", "z_desc-é.nii.gz"),
    *("label.nii.gz", "label_mine.nii.gz", "label_tail-left.nii.gz", "z_tab-clust.xlsx", "clusters.csv", "report.pdf"),
    *("Z.nii.gz", "REPORT.HTML", "Metadata.json", "Figures/figure-a.png", "figures/FIGURE-A.PNG", "readme.txt"),
    *("./z.nii.gz", "/z.nii.gz", "../z.nii.gz", "figures/../z.nii.gz", "figures//figure-a.png", "figures/", "figures"),
    *("z.nii.gz\n", "z.nii.gz\0", " z.nii.gz", "z.nii.gz/", "\\z.nii.gz", "figures\\figure-a.png", "", ".", ".."),
    *(".compose-runner/record.json", ".compose-runner/lock", ".bashrc", "z_desc-" + "a" * 300 + ".nii.gz"),
]
FORGED_NAMES = [name for name in FOREIGN if name not in ("", ".", "..", "figures", "figures/") and "\0" not in name]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("record", ["metadata.json", "record.json"])
def test_a_record_that_names_files_of_a_person_makes_none_of_them_the_runs(
    tmp_path: Path, overwrite: bool, record: str
) -> None:
    outside, result_dir = tmp_path / "outside", tmp_path / "outside" / "results"
    result_dir.mkdir(parents=True)
    listed = {}
    for name in FORGED_NAMES:
        path = Path(os.path.normpath(f"{result_dir}/{name}"))
        listed[name] = {"size": 4, "sha256": checksum(b"mine"), "replaced": checksum(b"mine")}
        meant = path.relative_to(result_dir).as_posix() if path.is_relative_to(result_dir) else ""
        if len(path.name) <= 255 and not run_may_write(meant) and STATE not in path.parts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"mine")
    if record == "metadata.json":
        artifacts = [{"filename": name, **entry} for name, entry in listed.items()]
        document: dict[str, Any] = {"compose_runner_version": "1.0.0", "artifacts": artifacts}
        (result_dir / "metadata.json").write_text(json.dumps(document))
    else:
        (result_dir / STATE).mkdir()
        document = {"files": listed, "folders": ["figures", "Figures", "sub", "..", "."]}
        (result_dir / STATE / "record.json").write_text(json.dumps(document))
    before = {name: content for name, content in contents(outside).items() if name != "results/metadata.json"}
    assert len(before) > 30
    for files in ({"p.nii.gz": b"map"}, {"t.nii.gz": b"map"}, {}):
        assert run(result_dir, files, overwrite=overwrite) == list(files)
        after = contents(outside)
        assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize(
    "entry",
    [
        *(None, [], "x", {}, {"size": 4}, {"sha256": checksum(b"mine")}),
        *({"size": size, "sha256": checksum(b"mine")} for size in (-4, 4.0, "4", True, None, [4])),
        *({"size": 4, "sha256": text} for text in ("", "0" * 63, checksum(b"mine").upper(), checksum(b"mine") + "\n")),
        {"size": 4, "sha256": "0" * 64, "replaced": [checksum(b"mine")]},
    ],
    ids=repr,
)
def test_an_entry_of_a_record_that_no_run_wrote_does_not_count(tmp_path: Path, entry: object) -> None:
    (tmp_path / STATE).mkdir()
    (tmp_path / STATE / "record.json").write_text(json.dumps({"files": {"z.nii.gz": entry}, "folders": []}))
    (tmp_path / "z.nii.gz").write_bytes(b"mine")
    with pytest.raises(ResultDirectoryError, match=r"z\.nii\.gz"):
        run(tmp_path, {"z.nii.gz": b"map"}, overwrite=True)
    assert contents(tmp_path) == {"z.nii.gz": b"mine"}


ENTRY = json.dumps({"size": 4, "sha256": checksum(b"mine")})


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"files": [], "folders": []}', b'{"files": {}}'),
        b'{"files": {"z.nii.gz": %s}, "folders": [], "files": {"z.nii.gz": %s}}' % (ENTRY.encode(), ENTRY.encode()),
        b'{"files": {"z.nii.gz": %s, "z.nii.gz": %s}, "folders": []}' % (ENTRY.encode(), ENTRY.encode()),
        b'{"files": {"z.nii.gz": %s}, "folders": [%s]}' % (ENTRY.encode(), b"1" * 5000),
        b'{"files": {"z.nii.gz": %s}, "folders": []}' % ENTRY.encode() + b" " * (32 << 20),
    ],
    ids=[
        *("empty", "null", "list", "half", "bytes", "deep", "files as a list", "no folders"),
        *("files twice", "name twice", "digits", "huge"),
    ],
)
def test_a_record_that_no_run_wrote_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).mkdir()
    (tmp_path / STATE / "record.json").write_bytes(content)
    (tmp_path / "z.nii.gz").write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(ResultDirectoryError, match=r"\.compose-runner was not made by compose-runner"):
            run(tmp_path, {"z.nii.gz": b"map"}, overwrite=overwrite)
    assert contents(tmp_path) == {"z.nii.gz": b"mine"}
    assert (tmp_path / STATE / "record.json").read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_record_that_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    state, elsewhere = tmp_path / "results" / STATE, tmp_path / "elsewhere.json"
    state.mkdir(parents=True)
    elsewhere.write_bytes(ResultRecord().to_json())
    if kind == "link":
        (state / "record.json").symlink_to(elsewhere)
    elif kind == "folder":
        (state / "record.json").mkdir()
    else:
        os.mkfifo(state / "record.json")
    with pytest.raises(ResultDirectoryError, match=r"\.compose-runner was not made by compose-runner"):
        run(tmp_path / "results", {"z.nii.gz": b"map"}, overwrite=True)
    assert elsewhere.read_bytes() == ResultRecord().to_json()


def test_an_empty_folder_that_no_file_of_a_run_was_in_stays(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    (tmp_path / STATE / "record.json").write_text(json.dumps({"files": {}, "folders": ["figures", "photos"]}))
    (tmp_path / "figures").mkdir()
    (tmp_path / "photos").mkdir()
    run(tmp_path, {"z.nii.gz": b"map"})
    run(tmp_path, {"z.nii.gz": b"map"})
    assert contents(tmp_path)["figures"] == contents(tmp_path)["photos"] == "an empty folder"


def test_a_file_with_a_name_that_no_run_gives_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tmp_path, {"z.nii.gz": b"map", "novelty.xyz": b"?"}) == ["z.nii.gz"]
    assert "novelty.xyz" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"\xff", b'{"artifacts": 3}', b'{"artifacts": []}', b"[" * 100_000, b'{"a": NaN}']
)
def test_a_metadata_file_of_something_else_is_not_a_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata.json").write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(ResultDirectoryError, match=r"metadata\.json"):
            run(tmp_path, {"z.nii.gz": b"map"}, overwrite=overwrite)
    assert contents(tmp_path) == {"metadata.json": content}


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_metadata_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata.json").write_bytes(content)
    assert ResultDirectory(tmp_path).read_metadata() is None


def test_numbers_that_json_has_not_are_null_in_metadata(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)
    directory.write_metadata({"specification": {"extra": [float("nan"), float("inf"), 1.5]}})
    written = json.loads((tmp_path / "metadata.json").read_bytes(), parse_constant=pytest.fail)
    assert written == {"specification": {"extra": [None, None, 1.5]}}


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022, 0o002])
def test_who_may_read_a_result_is_what_the_persons_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        run(tmp_path / "results", {"z.nii.gz": b"map", "figures/figure-a.png": b"picture"})
        ResultDirectory(tmp_path / "results").write("bundle.json.gz", b"bundle")
        (tmp_path / "results" / "own.txt").write_bytes(b"as any other program makes it")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file() and path.name != "lock"]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(0o666 & ~umask)}


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    first = ResultDirectory(tmp_path)
    with first.claimed():
        first.write("z.nii.gz", b"map")
        with pytest.raises(ResultDirectoryError, match="another process"):
            run(tmp_path, {"z.nii.gz": b"another map"})
    assert contents(tmp_path) == {"z.nii.gz": b"map"}
    assert run(tmp_path, {"p.nii.gz": b"map"}) == ["p.nii.gz"]


def test_the_lock_of_a_process_that_was_killed_does_not_count(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from compose_runner.analysis.write.result_directory import ResultDirectory\n"
        "with ResultDirectory(sys.argv[1]).claimed(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode < 0
    assert run(tmp_path, {"z.nii.gz": b"map"}) == ["z.nii.gz"]


# every map of every estimator with every correction
MAPS = Path(__file__).with_name("map_names.txt").read_text(encoding="utf-8").split()
TAILS = ("_tail-positive", "_tail-negative")
DESCRIBED = [name for name in MAPS if name == "z" or name.startswith("z_")]
WRITTEN = [
    *(f"{name}.nii.gz" for name in MAPS),
    *(f"label{name[1:]}{tail}.nii.gz" for name in DESCRIBED for tail in TAILS),
    *(f"{name}_tab-clust.tsv" for name in DESCRIBED),
    *(
        f"{name}_diag-{diagnostic}_tab-counts{tail}.tsv"
        for name in DESCRIBED
        for diagnostic in ("FocusCounter", "Jackknife")
        for tail in ("", *TAILS)
    ),
    *("level-estimator.tsv", "level-estimator_corr-FDR_method-indep.tsv"),
    *("ibma_coverage.tsv", "clusters.tsv", "boilerplate.txt", "references.bib", "README.txt", "run.log"),
    *("meta_results.pkl", "report.html", "metadata.json", "publish.json", "bundle.json.gz"),
    *(
        f"figures/{name}.png"
        for name in (
            *("map-0_corrector_figure-static", "map-12_diagnostics_tail-positive_figure"),
            *("preliminary_dset-1_figure-static", "preliminary_dset-2_figure-legend", "preliminary_dset-1_figure-dof"),
            *("map-0_figure-static", "figure-a"),
        )
    ),
]


def test_every_name_of_a_run_is_one_that_a_run_may_write(expected: Path) -> None:
    recorded = [json.loads(path.read_bytes()) for path in expected.glob("*.json")]
    names = [name for wanted in recorded for name in (*wanted["maps"], *wanted["tables"])]
    assert names
    assert [name for name in (*names, *WRITTEN) if not run_may_write(name)] == []


@pytest.mark.parametrize("name", FOREIGN, ids=repr)
def test_other_names_are_not(name: str) -> None:
    assert not run_may_write(name)


def test_a_run_that_is_killed_at_any_step_harms_nothing_and_lets_the_next_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)  # slow, and of no use to a file that is not kept
    result_dir, step = tmp_path / "results", 0
    code: int | None = 9
    run(result_dir, {"z.nii.gz": b"first", "figures/figure-a.png": b"first"})
    (result_dir / "figures" / "holiday.png").write_bytes(b"mine")
    (result_dir / "notes.txt").write_bytes(b"mine")
    fork = multiprocessing.get_context("fork")
    studyset = synthetic.random_studyset(n_studies=2)
    bundle = Bundle(studyset, synthetic.annotated(studyset), synthetic.specification(), Origin.DISK, "meta")
    inputs = (bundle, environment_named("staging"))
    while code == 9:
        step += 1
        files = {"z.nii.gz": b"map %d" % step, "p.nii.gz": b"map", "figures/figure-b.png": b"picture"}
        child = fork.Process(target=killed_at, args=(step, run, result_dir, files), kwargs={"inputs": inputs})
        child.start()
        child.join()
        code = child.exitcode
        after = contents(result_dir)
        assert (after["figures/holiday.png"], after["notes.txt"]) == (b"mine", b"mine")
    assert code == 0
    assert step > 20
    assert set(contents(result_dir)) == {
        *files,
        *("metadata.json", "publish.json", "bundle.json.gz"),
        *("figures/holiday.png", "notes.txt"),
    }


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_file_never_takes_a_name_that_was_taken_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_hard_links: bool
) -> None:
    if not has_hard_links:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
    assert run(tmp_path, {"z.nii.gz": b"map"}) == ["z.nii.gz"]
    # taken between the check and the move
    monkeypatch.setattr(ResultDirectory, "_blocked", lambda *_: False)
    (tmp_path / "p.nii.gz").write_bytes(b"mine")
    with pytest.raises(ResultDirectoryError, match=r"p\.nii\.gz"):
        ResultDirectory(tmp_path).write("p.nii.gz", b"another map")
    assert (tmp_path / "p.nii.gz").read_bytes() == b"mine"
    assert [entry["filename"] for entry in ResultDirectory(tmp_path).artifacts()] == ["z.nii.gz"]
