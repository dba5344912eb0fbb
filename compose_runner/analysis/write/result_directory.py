"""One run's result directory: every file that is listed is complete, and was written by the run that is described.

What a run wrote is kept in a record (:mod:`compose_runner.analysis.write.result_record`); only that is listed,
replaced, uploaded and published. Everything else in the directory belongs to somebody else: it is neither read nor
changed, and a run that would have to write in its place is refused before it computes. Symbolic links
inside the directory are not followed.

The record, the lock, unfinished files, checkpoints and downloaded maps are in the hidden folder ``.compose-runner``.
Files are written there and moved to their place when they are whole, ``metadata.json`` last.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from compose_runner.analysis.write.result_record import (
    FIGURES,
    PUBLISH_RECORD,
    ResultRecord,
    WrittenFile,
    compute_sha256,
    parsed_record,
    path_inside,
    read_content,
    record_of_metadata,
    run_may_write,
)
from compose_runner.compose.json_documents import strict_json
from compose_runner.errors import ResultDirectoryError
from compose_runner.files import atomic_write
from compose_runner.service.storage import METADATA_FILENAME
from compose_runner.signals import removed_at_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger(__name__)

STATE = ".compose-runner"
# texts that are for people: where somebody else's file has the name, the result does without
EXPLAINING = frozenset({"README.txt", "run.log"})
# the maps that go into an image-based meta-analysis: inputs, kept there as a cache
IMAGES = f"{STATE}/images"
_LOCK = "lock"
_RECORD = "record.json"
_NEW_RECORD = "record.json.new"
_UNFINISHED = "unfinished"
_RUN = "run-"
# what mkdtemp adds; versions before gave no prefix
_UNFINISHED_RUN = re.compile(rf"(?:{_RUN}|tmp)[a-z0-9_]{{8}}")
_STATE_NAMES = frozenset({_LOCK, _RECORD, _NEW_RECORD, _UNFINISHED, "images", "checkpoints"})
# a fingerprint, and what is kept below it; the last is of a run that was killed while it wrote
_CHECKPOINTS_OF_A_RUN = re.compile(r"[0-9a-f]{24}")
_CHECKPOINT = re.compile(r"[A-Za-z0-9_.-]{1,200}\.npz|\.[0-9a-f]{16}\.part")
_NAMES_SHOWN = 5


class ResultDirectory:
    """Where a run's artifacts go.

    Parameters
    ----------
    path : path-like
        Made when it does not exist. A symbolic link to a directory is followed here, once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # absolute: NiMARE resolves relative image paths against the studyset's base path
        self.path = Path(path).expanduser().resolve()
        self._lock: FileLock | None = None

    @contextlib.contextmanager
    def claimed(self, *, overwrite: bool = False) -> Iterator[None]:
        """Keep the directory for one run, from before it fetches anything to its end.

        Parameters
        ----------
        overwrite : bool
            Use a directory that holds files and no record of a run; they stay as they are all the same.

        Raises
        ------
        ResultDirectoryError
            Another process uses the directory, or something stands there that no run wrote: anything where there is no
            record, otherwise a file or a folder in whose place this run might have to write. Nothing was changed.
        """
        if not os.path.lexists(self.path / STATE):
            # before the lock, so that nothing is made in a directory that is refused
            self._refuse_foreign(overwrite)
        with self.locked():
            self._refuse_foreign(overwrite)
            yield

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; does nothing where this object has the lock already.

        Raises
        ------
        ResultDirectoryError
            Another process has it. The lock of a process that is gone does not count.
        """
        if self._lock is not None:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._state() / _LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise ResultDirectoryError(
                f"{self.path} is in use by another process: another run of compose-runner computes or publishes "
                "there. Choose another directory, or wait until it is done."
            ) from error
        self._lock = lock
        try:
            self._save(self._record())
            # nobody else is here: these are of a run that was killed
            for folder in (self._state() / _UNFINISHED).glob("*"):
                if _UNFINISHED_RUN.fullmatch(folder.name):
                    shutil.rmtree(folder, ignore_errors=True)
            yield
        finally:
            self._lock = None
            lock.release()

    def clear(self) -> None:
        """Remove what an earlier run left as its result, in so far as it is still as the run wrote it."""
        self.path.mkdir(parents=True, exist_ok=True)
        record = self._record()
        # without metadata.json the directory no longer looks like a result
        names = sorted(record.files, key=lambda name: name != METADATA_FILENAME)
        emptied = set()
        for name in names:
            if name == PUBLISH_RECORD:
                continue
            if (path := self._ours(name, record)) is not None:
                path.unlink()
                emptied.add(path.parent)
            del record.files[name]
        for name in list(record.folders):
            # a run makes a folder for a file only: one that had none was made by somebody else
            if self.path / name in emptied:
                with contextlib.suppress(OSError):
                    (self.path / name).rmdir()
                record.folders.discard(name)
        self._save(record)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Give a folder to write in; what is in it when the block ends well appears in the result directory.

        Raises
        ------
        ResultDirectoryError
            Something that no run wrote stands in the way. All that was written is kept in a folder that is named.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self._state() / _UNFINISHED
        if self._kept_record() is None:
            self._save(self._record())
        unfinished.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=unfinished, prefix=_RUN))
        with removed_at_end(folder):
            try:
                yield folder
                self._put_in_place(folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def write(self, name: str, content: bytes) -> None:
        """Write one file of the run, whole or not at all."""
        with self.writing() as folder:
            atomic_write(folder / name, content)

    def write_beside(self, texts: Mapping[str, str]) -> None:
        """Write texts that explain a result; one whose name a file has that no run wrote is left out.

        Parameters
        ----------
        texts : mapping of str to str
            By the names of :data:`EXPLAINING`.
        """
        for name, text in texts.items():
            if self._blocked(name, self._record()):
                log.info("%s is not written: a file that no run wrote has its name.", name)
            else:
                self.write(name, text.encode())

    def remove(self, name: str) -> None:
        """Remove one file that a run wrote; one that is not as the run wrote it stays."""
        record = self._record()
        if (path := self._ours(name, record)) is not None:
            path.unlink()
        if record.files.pop(name, None) is not None:
            self._save(record)

    def artifacts(self) -> list[dict[str, Any]]:
        """Name, size in bytes and SHA-256 of every finished artifact; the two records of the run are not artifacts."""
        record = self._record()
        return [
            {"filename": name, "size": file.size, "sha256": file.sha256}
            for name, file in sorted(record.files.items())
            if name not in (METADATA_FILENAME, PUBLISH_RECORD)
            and (path := path_inside(self.path, name)) is not None
            and path.lstat().st_size == file.size
            and compute_sha256(path) == file.sha256
        ]

    def changed(self) -> list[str]:
        """Names of the files that are missing, or are not as the run wrote them."""
        record = self._record()
        return [name for name in sorted(record.files) if self._ours(name, record) is None]

    def read_metadata(self) -> dict[str, Any] | None:
        """``metadata.json`` of a finished run, or None."""
        try:
            metadata = json.loads((self.path / METADATA_FILENAME).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return metadata if isinstance(metadata, dict) else None

    def write_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Write ``metadata.json``, whole or not at all."""
        self.write(METADATA_FILENAME, strict_json(metadata, indent=2, default=str).encode() + b"\n")

    def wrote(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path is this directory, or a file in it that a run wrote."""
        resolved = Path(path).expanduser().resolve()
        if resolved == self.path:
            return True
        return resolved.is_relative_to(self.path) and resolved.relative_to(self.path).as_posix() in self._record().files

    def _refuse_foreign(self, overwrite: bool) -> None:
        """Refuse a directory in which this run would be in the way of somebody else's files."""
        if not self.path.exists():
            return
        names = sorted(entry.name for entry in os.scandir(self.path))
        if STATE in names and not self._is_state():
            raise ResultDirectoryError(
                f"{self.path / STATE} was not made by compose-runner, which needs a folder of this name. "
                "Choose another directory. Nothing was changed."
            )
        if not self._has_record():
            foreign = [name for name in names if name != STATE]
            if foreign and not overwrite:
                raise ResultDirectoryError(
                    f"{self.path} is not empty, and no run of compose-runner wrote what is in it: {_listed(foreign)}. "
                    "Choose another directory with --result-dir, or put the result beside these files with "
                    "--overwrite. Nothing was changed."
                )
        record = self._record()
        in_the_way = [
            name
            for name in {*names, *self._names_in(FIGURES), *record.files}
            if name not in EXPLAINING and (name in record.files or run_may_write(name)) and self._blocked(name, record)
        ]
        if FIGURES in names and self._blocked(f"{FIGURES}/any"):
            in_the_way.append(FIGURES)
        if in_the_way:
            raise ResultDirectoryError(
                f"{self.path} holds files in whose place this run would write, but that are not as a run of "
                f"compose-runner wrote them: {_listed(sorted(in_the_way))}. Move them, or choose another directory "
                "with --result-dir. Nothing was changed."
            )

    def _names_in(self, folder: str) -> list[str]:
        """Names in a folder of the directory that is no symbolic link."""
        if self._blocked(f"{folder}/any") or not (self.path / folder).is_dir():
            return []
        return [f"{folder}/{entry.name}" for entry in os.scandir(self.path / folder)]

    def _blocked(self, name: str, record: ResultRecord | None = None) -> bool:
        """Whether a file of the run cannot get this name without harm to what no run wrote."""
        path = self.path
        *folders, last = name.split("/")
        for folder in folders:
            path = path / folder
            if not os.path.lexists(path):
                return False
            if not stat.S_ISDIR(path.lstat().st_mode):
                return True
        return os.path.lexists(path / last) and (record is None or self._ours(name, record) is None)

    def _ours(self, name: str, record: ResultRecord) -> Path | None:
        """Path of a file that is as a run wrote it; None for every other."""
        path, file = path_inside(self.path, name), record.files.get(name)
        if path is None or file is None:
            return None
        return path if compute_sha256(path) in (file.sha256, file.replaced) else None

    def _put_in_place(self, folder: Path) -> None:
        """Move files to their places; they are in the record before the first of them is."""
        sources = {path.relative_to(folder).as_posix(): path for path in _files_below(folder)}
        record = self._record()
        if unknown := sorted(name for name in sources if not run_may_write(name)):
            log.warning("Not listed among the artifacts, since no run gives such names: %s.", _listed(unknown))
        blocked = [name for name in sources if self._blocked(name, record)]
        replacing = set()
        if not blocked:
            for name, source in sources.items():
                before = self._ours(name, record)
                replaced = None if before is None else compute_sha256(before)
                record.files[name] = WrittenFile(source.stat().st_size, compute_sha256(source), replaced)
                if before is not None:
                    replacing.add(name)
                parents = [parent.as_posix() for parent in Path(name).parents if parent.as_posix() != "."]
                record.folders.update(parent for parent in parents if not os.path.lexists(self.path / parent))
            if sources:
                self._save(record)
            blocked = self._move(sources, replacing)
        if blocked:
            kept = Path(tempfile.mkdtemp(prefix="result-", dir=self.path))
            for path in folder.iterdir():
                path.replace(kept / path.name)
            raise ResultDirectoryError(
                f"{self.path} holds files in whose place the result belongs, and that no run of compose-runner wrote: "
                f"{_listed(blocked)}. They were left as they are; what was computed is in {kept}."
            )

    def _move(self, sources: Mapping[str, Path], replacing: set[str]) -> list[str]:
        """Move files to their places; gives the names of those whose place was taken meanwhile."""
        blocked = []
        for name in sorted(sources, key=lambda name: (name == METADATA_FILENAME, name)):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in replacing:
                sources[name].replace(target)
                continue
            try:
                _move_to_new_name(sources[name], target)
            except FileExistsError:
                blocked.append(name)
        if blocked:
            record = self._record()
            for name in blocked:
                del record.files[name]
            self._save(record)
        return blocked

    def _state(self) -> Path:
        """The hidden folder, which is made where it is missing."""
        state = self.path / STATE
        if not os.path.lexists(state):
            state.mkdir(exist_ok=True)
        elif not self._is_state():
            raise ResultDirectoryError(
                f"{state} was not made by compose-runner, which needs a folder of this name. Choose another directory."
            )
        return state

    def _is_state(self) -> bool:
        """Whether the hidden folder is one that a run made, and holds nothing else."""
        state = self.path / STATE
        try:
            if not stat.S_ISDIR(state.lstat().st_mode):
                return False
            entries = {entry.name: entry for entry in os.scandir(state)}
            if not self._is_checkpoints(state / "checkpoints"):
                return False
            # a map is read and written by its name
            if "images" in entries and any(entry.is_symlink() for entry in [*os.scandir(state / "images")]):
                return False
        except OSError:
            return False
        if not entries.keys() <= _STATE_NAMES or any(entry.is_symlink() for entry in entries.values()):
            return False
        # a run makes the lock first, then the record, then the rest
        if _RECORD in entries:
            return self._kept_record() is not None
        return entries.keys() <= {_LOCK, _NEW_RECORD}

    @staticmethod
    def _is_checkpoints(folder: Path) -> bool:
        """Whether there is nothing but checkpoints in the folder that runs empty."""
        if not folder.is_dir():
            return not os.path.lexists(folder)
        return all(
            _CHECKPOINTS_OF_A_RUN.fullmatch(entry.name) is not None
            and entry.is_dir(follow_symlinks=False)
            and all(
                _CHECKPOINT.fullmatch(inner.name) is not None and inner.is_file(follow_symlinks=False)
                for inner in [*os.scandir(entry)]
            )
            for entry in [*os.scandir(folder)]
        )

    def _kept_record(self) -> ResultRecord | None:
        content = read_content(self.path, f"{STATE}/{_RECORD}")
        return None if content is None else parsed_record(content)

    def _has_record(self) -> bool:
        return self._kept_record() is not None or record_of_metadata(self.path) is not None

    def _record(self) -> ResultRecord:
        """What runs wrote here, as the directory says at this moment."""
        return self._kept_record() or record_of_metadata(self.path) or ResultRecord()

    def _save(self, record: ResultRecord) -> None:
        state = self._state()
        new = state / _NEW_RECORD
        # a run that was killed left it; what else has this name, such as another name of a file, is not written into
        new.unlink(missing_ok=True)
        with new.open("xb") as file:
            file.write(record.to_json())
            file.flush()
            os.fsync(file.fileno())
        new.replace(state / _RECORD)


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files of a folder and its folders; what is hidden is not finished."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _move_to_new_name(source: Path, target: Path) -> None:
    """Move a file to a name that nothing has; raises FileExistsError where something has it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # not every file system has hard links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        source.replace(target)
    else:
        source.unlink()


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = len(shown) - _NAMES_SHOWN
    text = ", ".join(shown[:_NAMES_SHOWN])
    return f"{text} and {more} more" if more > 0 else text
