"""`make viewer`: fetch NiiVue by name and version, check it, and put it with the template into the package.

What is fetched is named, with its checksums, in ``compose_runner/analysis/write/viewer/niivue.json``. To take another
version, change name and version there, remove the checksums, and run this once: it prints the new ones. An installation
needs neither node nor this script, since its results are part of the package.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

VIEWER = Path(__file__).resolve().parent.parent / "compose_runner" / "analysis" / "write" / "viewer"
ABOUT = VIEWER / "niivue.json"
TEMPLATE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
# what keeps the template small: voxels of 1.4 mm and 64 greys, which a screen cannot tell from more
VOXEL_MM = 1.4
GREY_STEP = 4


def digest(algorithm: str, content: bytes) -> str:
    """Make a checksum in the form of npm and of Content-Security-Policy: ``sha512-...``."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def packed(content: bytes) -> bytes:
    """Compress so that the same content gives the same bytes."""
    return gzip.compress(content, compresslevel=9, mtime=0)


def niivue(about: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Fetch the script; the checksums that were found are returned beside it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--ignore-scripts", f"{about['package']}@{about['version']}"]
        name = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
        archive = Path(folder) / name
        found = {"integrity": digest("sha512", archive.read_bytes())}
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"package/{about['file']}")
            if member is None:
                raise SystemExit(f"{name} has no {about['file']}")
            script = member.read()
    return script, {**found, "script": digest("sha256", script)}


def template() -> bytes:
    """Make nilearn's brain smaller: cut out, coarser, fewer greys."""
    spec = find_spec("nilearn")
    assert spec is not None
    assert spec.submodule_search_locations
    image = nib.load(Path(next(iter(spec.submodule_search_locations))) / TEMPLATE)
    data = ndimage.gaussian_filter(np.asarray(image.dataobj, dtype=np.float32), 0.35)
    brain = np.argwhere(np.asarray(image.dataobj) > 0)
    low, high = brain.min(axis=0) - 2, brain.max(axis=0) + 3
    shape = np.ceil((high - low) / VOXEL_MM).astype(int)
    coarse = ndimage.affine_transform(data, np.full(3, VOXEL_MM), low, tuple(shape), order=1)
    greys = np.clip(np.rint(coarse / GREY_STEP) * GREY_STEP, 0, 255).astype(np.uint8)
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = apply_affine(image.affine, low)
    return packed(nib.Nifti1Image(greys, affine).to_bytes())


def main() -> None:
    """Write the script and the template, or stop when a checksum differs."""
    about = json.loads(ABOUT.read_text(encoding="utf-8"))
    script, found = niivue(about)
    if wrong := [name for name, value in found.items() if about.get(name, value) != value]:
        raise SystemExit(
            f"{about['package']} {about['version']}: the checksum of {', '.join(wrong)} is not the kept one"
        )
    (VIEWER / "niivue.js.gz").write_bytes(packed(script))
    (VIEWER / "template.nii.gz").write_bytes(template())
    ABOUT.write_text(json.dumps({**about, **found}, indent=2) + "\n", encoding="utf-8")
    for path in (VIEWER / "niivue.js.gz", VIEWER / "template.nii.gz"):
        sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
