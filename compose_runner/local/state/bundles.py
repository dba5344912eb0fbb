"""Bundles that were sent to the service: a file for each job, which its task reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from compose_runner.local.state.folder import Folder
from compose_runner.local.state.private_files import private_write
from compose_runner.service.storage import is_artifact_prefix

if TYPE_CHECKING:
    from pathlib import Path


class BundleFiles(Folder):
    """Keeps the inputs of jobs that do not come from Compose."""

    def path(self, artifact_prefix: str) -> Path:
        """Where a job's bundle is or would be."""
        return self.folder / f"{artifact_prefix}.json"

    def knows(self, artifact_prefix: str) -> bool:
        """Whether a job was sent its inputs."""
        return is_artifact_prefix(artifact_prefix) and os.path.lexists(self.path(artifact_prefix))

    def write(self, artifact_prefix: str, content: bytes) -> None:
        """Keep a job's bundle.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        path = self.path(artifact_prefix)
        with self.lock, self.faults.writing(path):
            private_write(path, content, self.folder.parent)

    def forget(self, artifact_prefix: str) -> None:
        """Remove the bundle of a job that was not started after all."""
        with self.faults.skipping():
            self.path(artifact_prefix).unlink(missing_ok=True)
