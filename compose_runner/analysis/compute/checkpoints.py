"""What an interrupted run goes on from: null distributions, and the inputs they belong to.

A checkpoint is found again only by a run of the same inputs, specification, seed, engine and versions: these make the
fingerprint, which is part of its name. The rest of the name comes from the run itself, a digest of everything its
numbers depend on. So going on from a checkpoint gives the same maps as an uninterrupted run, bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from compose_runner.analysis.fetch.bundle_files import restore_bundle, save_bundle
from compose_runner.analysis.write.provenance import machine, versions
from compose_runner.analysis.write.result_directory import STATE
from compose_runner.errors import TemporaryError
from compose_runner.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from compose_runner.analysis.fetch.bundle import Bundle

log = logging.getLogger(__name__)

CHECKPOINTS = f"{STATE}/checkpoints"
INPUTS = "inputs.json.gz"


class CheckpointBackend(Protocol):
    """Where one job's checkpoints are: a folder, a prefix in S3. Names may hold slashes."""

    def read(self, name: str) -> bytes | None:
        """Return a checkpoint's content, or None when there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a checkpoint; after an interruption either the old or the new content is there."""

    def clear(self) -> None:
        """Remove all of the job's checkpoints."""


class CheckpointDirectory:
    """Checkpoints below a folder on this machine.

    Parameters
    ----------
    path : Path
        Made with the first checkpoint; nothing else may be in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        """Return a checkpoint's content, or None."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Replace a checkpoint."""
        atomic_write(self.path / name, content)

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def keep_only(self, fingerprint: str) -> None:
        """Remove checkpoints of other runs, which would otherwise stay for ever."""
        if self.path.is_dir():
            for folder in self.path.iterdir():
                if folder.name != fingerprint:
                    shutil.rmtree(folder, ignore_errors=True)


class CheckpointStore:
    """Null distributions as compressed arrays; a :class:`compose_runner.analysis.compute.engine.NullStore`.

    Parameters
    ----------
    backend : CheckpointBackend
        Where they are kept.
    fingerprint : str
        What a run must have in common with the one that saved them.
    before_first_save : callable, optional
        Called once, before anything is saved.
    required : bool
        Whether a checkpoint that cannot be saved ends the run, as for a shard, which is of no use otherwise.
    """

    def __init__(
        self,
        backend: CheckpointBackend,
        fingerprint: str,
        before_first_save: Callable[[], None] | None = None,
        *,
        required: bool = False,
    ) -> None:
        self._backend = backend
        self._fingerprint = fingerprint
        self._before_first_save = before_first_save
        self._required = required

    def load(self, name: str) -> Mapping[str, NDArray[Any]] | None:
        """Return the arrays saved under a name, or None; one that cannot be read counts as not there."""
        import numpy as np

        content = self._backend.read(self._name(name))
        if content is None:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found: dict[str, NDArray[Any]] = {key: arrays[key] for key in arrays.files}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            log.warning("A checkpoint cannot be read, its permutations are computed again: %s", error)
            return None
        if not {"rows", "range"} <= found.keys():
            return None
        log.info("Going on from a checkpoint of %d permutations.", len(found["rows"]))
        return found

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays under a name."""
        import numpy as np

        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        try:
            if self._before_first_save is not None:
                self._before_first_save()
                self._before_first_save = None
            self._backend.write(self._name(name), content.getvalue())
        except (OSError, TemporaryError) as error:
            if self._required:
                raise
            log.warning("A checkpoint could not be kept, the run goes on without it: %s", error)

    def _name(self, name: str) -> str:
        return f"{self._fingerprint}/{name}.npz"


def fingerprint(inputs: Bundle, seed: int, engine: str) -> str:
    """Name everything that a run's numbers depend on.

    Parameters
    ----------
    inputs : Bundle
        Studyset, annotation and specification.
    seed : int
        Seed of the random draws.
    engine : str
        Whose Monte Carlo code computes.
    """
    parts = {
        "inputs": inputs.checksums(),
        "seed": seed,
        "engine": engine,
        "versions": versions(),
        "machine": machine(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def keep_inputs(inputs: Bundle, backend: CheckpointBackend) -> None:
    """Keep a job's inputs, so that its later tasks compute from the same documents."""
    with tempfile.TemporaryDirectory(prefix="compose-runner-inputs-") as folder:
        file = save_bundle(inputs, Path(folder) / INPUTS)
        backend.write(INPUTS, file.read_bytes())


def kept_inputs(backend: CheckpointBackend) -> Bundle | None:
    """Return the inputs that :func:`keep_inputs` kept; None when there are none."""
    content = backend.read(INPUTS)
    if content is None:
        return None
    with tempfile.TemporaryDirectory(prefix="compose-runner-inputs-") as folder:
        file = Path(folder) / INPUTS
        file.write_bytes(content)
        return restore_bundle(file)
