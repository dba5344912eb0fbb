"""The runner in production, installed into an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.paths import CACHE

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUIREMENT = "compose-runner[aws]==0.14.5"
PEER_PYTHON = "COMPOSE_RUNNER_PEER_PYTHON"

# Its command has no option for the services' addresses; everything else is what its command does.
PROGRAM = """
import sys
import compose_runner.run as peer
compose, store, meta_analysis_id, folder, cores = sys.argv[1:]
peer._ENVIRONMENT_URLS["production"] = (compose, store)
peer.run(meta_analysis_id, "production", folder, None, None, True, int(cores))
"""

_VERSIONS = """
import json, platform
from importlib.metadata import version
names = ("compose-runner", "nimare", "numpy", "scipy", "numba", "nilearn")
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in names}}))
"""


def peer_python() -> Path:
    """Return a Python that has the peer; installed below ``.make`` unless ``COMPOSE_RUNNER_PEER_PYTHON`` names one."""
    named = os.environ.get(PEER_PYTHON)
    if named:
        return Path(named)
    folder = CACHE.parent / "peer"
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if not ready.exists() or ready.read_text() != REQUIREMENT:
        print(f"Installing {REQUIREMENT} into {folder} (once)", file=sys.stderr, flush=True)
        venv.EnvBuilder(with_pip=True, clear=True).create(folder)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT], check=True
        )
        ready.write_text(REQUIREMENT)
    return python


def installed_versions(python: Path) -> dict[str, str]:
    """Versions of a runner and of what computes in it."""
    # not in this directory, where our own package would be found first
    said = subprocess.run([python, "-c", _VERSIONS], cwd="/", capture_output=True, text=True, check=True).stdout
    versions: dict[str, str] = json.loads(said)
    return versions


def peer_command(
    python: Path, compose_api: str, neurostore_api: str, meta_analysis_id: str, folder: Path, cores: int
) -> Sequence[str]:
    """Return the command that runs one job without uploading it."""
    return [str(python), "-c", PROGRAM, compose_api, neurostore_api, meta_analysis_id, str(folder), str(cores)]
