"""Which files a document may name: none when it came over the network, those beside it when it came from a disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compose_runner.analysis.fetch.bundle_files import load_bundle, restore_bundle, save_bundle
from compose_runner.analysis.fetch.reach import OutOfReachError, Reach, path_in_location
from compose_runner.analysis.select.images import map_source, stage_images
from compose_runner.compose.addresses import AllowedHosts
from tests.support import synthetic

NETWORK = Reach()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle's folder with a map in it, beside a secret that links lead to."""
    inside = tmp_path / "bundle"
    (inside / "maps").mkdir(parents=True)
    (inside / "maps" / "z.nii.gz").write_bytes(b"map")
    (tmp_path / "secret.nii.gz").write_bytes(b"secret")
    (inside / "link.nii.gz").symlink_to(tmp_path / "secret.nii.gz")
    (inside / "up").symlink_to(tmp_path)
    (inside / "circle").symlink_to(inside / "circle")
    return inside


def test_files_beside_a_bundle_are_found_by_path_and_address(folder: Path) -> None:
    reach = Reach(folder)
    wanted = folder / "maps" / "z.nii.gz"
    for location in (
        "maps/z.nii.gz",
        "maps/../maps/z.nii.gz",
        str(wanted),
        wanted.as_uri(),
        f"file://localhost{wanted}",
    ):
        assert reach.local_file(location) == wanted
    assert reach.local_file("maps/absent.nii.gz") is None
    assert reach.local_file("maps") is None
    assert reach.local_file("circle") is None


OUTSIDE = [
    *(
        "../secret.nii.gz",
        "link.nii.gz",
        "up/secret.nii.gz",
        "/etc/passwd",
        "maps/../../x",
        "circle/../../secret.nii.gz",
    ),
    *("file:///etc/passwd", "FILE:/etc/passwd", "file://LOCALHOST/etc/passwd", "file:///%65tc/passwd"),
    *("file:%2e%2e/secret.nii.gz", "file:..%2Fsecret.nii.gz", "file:maps/../../secret.nii.gz?x#y"),
]


@pytest.mark.parametrize("location", OUTSIDE)
def test_files_outside_its_folder_are_refused_whether_they_exist_or_not(folder: Path, location: str) -> None:
    with pytest.raises(OutOfReachError, match="outside the folder"):
        Reach(folder).local_file(location)


@pytest.mark.parametrize("location", [*OUTSIDE, "maps/z.nii.gz", "z.nii.gz", "/proc/self/environ", "/dev/zero"])
def test_a_document_from_the_network_names_no_file(
    folder: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Path, "resolve", lambda *_args: pytest.fail("it was looked at"))
    with pytest.raises(OutOfReachError, match="for a bundle from a disk only"):
        NETWORK.local_file(location)


@pytest.mark.parametrize(
    "location",
    [
        *("https://x.org/a.nii", "file://server/share/a.nii", "http://[", "a\0b", "file:a%00b", "s3://b/a"),
        # Windows asks the other machine for each of these
        *("//server/share/a.nii", "\\\\server\\share\\a.nii", "/\\server/share/a.nii", " \\/server/share/a.nii"),
        *("file:////server/share/a.nii", "file:%5C%5Cserver%5Cshare%5Ca.nii", "file://localhost/%2Fserver/share/a.nii"),
        *("\\\\?\\C:\\a.nii", "\\\\.\\pipe\\a.nii"),
    ],
)
def test_addresses_of_other_kinds_are_no_files(location: str) -> None:
    assert path_in_location(location) is None


def test_a_file_that_may_not_be_read_is_passed_over_for_an_address(folder: Path) -> None:
    address = "https://neurovault.org/z.nii.gz"
    for reach in (NETWORK, Reach(folder)):
        assert map_source({"filename": "z.nii.gz", "url": address}, reach) == address
        assert map_source({"filename": "/etc/z.nii.gz", "url": address}, reach) == address
        assert map_source({"filename": "z.nii.gz", "url": None}, reach) is None


def document_with(location: str) -> dict[str, Any]:
    document = synthetic.random_studyset(n_studies=1, analyses_per_study=1)
    document["studies"][0]["analyses"][0]["images"] = [
        {"id": "i", "filename": location, "url": None, "value_type": "Z"}
    ]
    return document


def test_a_refused_file_is_left_out_with_the_reason(folder: Path, tmp_path: Path) -> None:
    secret = str(tmp_path / "secret.nii.gz")
    for reach, reason in ((NETWORK, "a bundle from a disk only"), (Reach(folder), "outside the folder of the bundle")):
        (staged,) = stage_images(document_with(secret), tmp_path / "staged", reach=reach).maps
        assert staged.path is None
        assert reason in staged.reason
        assert secret not in staged.reason


def test_a_bundle_reaches_its_own_folder_and_nothing_once_it_is_a_jobs_input(tmp_path: Path) -> None:
    studyset = synthetic.random_studyset(n_studies=1)
    parts = {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": synthetic.specification(),
        "meta_analysis": {"id": "x", "origin": "live", "folder": "/", "reach": "/"},
    }
    whole = tmp_path / "one" / "b.json"
    whole.parent.mkdir()
    whole.write_text(json.dumps(parts))
    assert load_bundle(whole).reach == Reach(whole.parent)
    save_bundle(load_bundle(whole), tmp_path / "two")
    allowed = AllowedHosts.named(["127.0.0.1:1"])
    assert load_bundle(tmp_path / "two", allowed_hosts=allowed).reach == Reach(tmp_path / "two", allowed)
    assert restore_bundle(whole).reach == NETWORK
