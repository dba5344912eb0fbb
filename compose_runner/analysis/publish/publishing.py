"""Publish a result directory on Compose: make the result once, then give it its files, as often as that takes.

Making a result makes a NeuroVault collection on Compose's side, so the POST is never repeated for a result that
exists. When its answer is lost, nobody knows whether it does: the next attempt compares the meta-analysis's results
with those that were listed before, and takes the new one that has no files yet. The PUT can be repeated.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.fetch.bundle_files import load_bundle, save_bundle
from compose_runner.analysis.publish.record import (
    BUNDLE_FILENAME,
    RECORD_FILENAME,
    PublishRecord,
    PublishState,
    now,
    read_record,
)
from compose_runner.analysis.publish.uploads import RESULTS, create_result, upload_artifacts, upload_parts
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.compose.document_shapes import Entity, results_in, same_content, snapshot_md5s, unwrapped
from compose_runner.compose.document_sources import DocumentReader
from compose_runner.compose.environments import environment_named
from compose_runner.errors import DocumentMissingError, PublishError, UploadKeyError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.compose.environments import Environment

_SNAPSHOTS_COMPARED = 3


@dataclass(frozen=True, slots=True)
class Published:
    """A result on Compose: its id, and the page of the meta-analysis on which a person sees it."""

    result_id: str
    url: str


def prepare_publish(
    result_dir: str | os.PathLike[str] | ResultDirectory, bundle: Bundle, environment: Environment
) -> None:
    """Put into a result directory what :func:`publish` needs besides maps and tables.

    Writes ``bundle.json.gz`` (the inputs, without any key) and ``publish.json``. A result that an earlier run on the
    same inputs made, but never filled, is kept: it is the one to fill.

    Parameters
    ----------
    result_dir : path-like or ResultDirectory
        Where the run writes.
    bundle : Bundle
        What it computes from. Without a ``meta_analysis_id`` there is no page to publish on, and nothing is written.
    environment : Environment
        Which Compose the meta-analysis belongs to.
    """
    directory = _as_directory(result_dir)
    if bundle.meta_analysis_id is None:
        # an earlier run's, whose result is no longer here
        directory.remove(RECORD_FILENAME)
        return
    fresh = PublishRecord(
        meta_analysis_id=bundle.meta_analysis_id, environment=environment.name, inputs=bundle.checksums()
    )
    with directory.writing() as folder:
        save_bundle(bundle, folder / BUNDLE_FILENAME)
    try:
        earlier = read_record(directory)
    except PublishError:
        earlier = None
    unfinished = earlier is not None and earlier.state in (PublishState.CREATING, PublishState.CREATED)
    if earlier is None or not unfinished or _identity(earlier) != _identity(fresh):
        fresh.write(directory)


def find_page(
    result_dir: str | os.PathLike[str] | ResultDirectory, environment: Environment | None = None
) -> tuple[str, bool]:
    """Where a result directory would be published, and whether it is there already.

    Parameters
    ----------
    result_dir : path-like or ResultDirectory
        Where a run wrote its artifacts.
    environment : Environment, optional
        Where Compose is; by default the record's environment.

    Raises
    ------
    PublishError
        There is nothing that can be published.
    """
    record = read_record(_as_directory(result_dir))
    environment = environment or environment_named(record.environment)
    return environment.find_page(record.meta_analysis_id), record.state is PublishState.UPLOADED


def _as_directory(result_dir: str | os.PathLike[str] | ResultDirectory) -> ResultDirectory:
    return result_dir if isinstance(result_dir, ResultDirectory) else ResultDirectory(result_dir)


def _identity(record: PublishRecord) -> tuple[object, ...]:
    return record.meta_analysis_id, record.environment, record.inputs


def publish(
    result_dir: str | os.PathLike[str] | ResultDirectory,
    *,
    upload_key: str | None = None,
    environment: Environment | None = None,
    attempts: int = 4,
    on_change: Callable[[Path], object] | None = None,
) -> Published:
    """Publish a result directory, or what is missing of it; one that is published already is left as it is.

    Parameters
    ----------
    result_dir : path-like or ResultDirectory
        Where a run wrote its artifacts and :func:`prepare_publish` its record.
    upload_key : str, optional
        Key of the caller, which comes before the run key that Compose gives for the meta-analysis.
    environment : Environment, optional
        Where Compose is; by default the record's environment.
    attempts : int
        Retries of each request but the one that makes the result.
    on_change : callable, optional
        Called with the directory after every change of its record, right before and right after the request that
        makes the result among them, for a caller that has to keep the record where it outlives this machine.

    Raises
    ------
    PublishError
        Compose refuses; in its words. What was computed is safe.
    ResultDirectoryError
        Another process computes or publishes there.
    ServiceUnavailableError
        Compose is out of reach; what was done is recorded, and the next call goes on from there.
    """
    directory = _as_directory(result_dir)
    if not directory.path.is_dir():
        raise PublishError(f"{directory.path} is not a directory")
    # before the lock, so that nothing is made in a directory that holds no result
    read_record(directory)
    with directory.locked():
        return _publish(directory, upload_key, environment, attempts, on_change)


def _publish(
    directory: ResultDirectory,
    upload_key: str | None,
    environment: Environment | None,
    attempts: int,
    on_change: Callable[[Path], object] | None,
) -> Published:
    record = read_record(directory)
    environment = environment or environment_named(record.environment)
    page = environment.find_page(record.meta_analysis_id)
    if record.state is PublishState.UPLOADED and record.result_id is not None:
        return Published(record.result_id, page)
    if environment.name != record.environment:
        if record.state is not PublishState.PREPARED:
            raise PublishError(
                f"{directory.path} cannot be published on {environment.name}: its upload was begun on "
                f"{record.environment}, where it can be completed."
            )
        record = record.model_copy(update={"environment": environment.name})
    parts = upload_parts(directory)
    meta_analysis = _meta_analysis(record, environment, attempts)
    key = _usable_key(upload_key or meta_analysis.get("run_key"), record.meta_analysis_id)
    if record.state is PublishState.CREATING:
        record = _result_of_lost_answer(record, meta_analysis, environment, attempts, directory, on_change)
    if record.result_id is None:
        bundle = load_bundle(directory.path / BUNDLE_FILENAME)
        _, earlier = results_in(meta_analysis)
        snapshots = matching_snapshots(bundle, environment, attempts=attempts)
        sent = {entity.value: snapshots.get(entity) or "whole" for entity in Entity}
        record = record.moved_to(PublishState.CREATING, directory, on_change, earlier_results=earlier, sent=sent)
        try:
            result_id = create_result(bundle, record.meta_analysis_id, snapshots, environment, key)
        except PublishError:  # a refusal is an answer: there is no result
            record.moved_to(PublishState.PREPARED, directory, on_change)
            raise
        record = record.moved_to(PublishState.CREATED, directory, on_change, result_id=result_id, created=now())
    assert record.result_id is not None
    upload_artifacts(record.result_id, parts, environment, key, attempts=attempts)
    names: dict[str, list[str]] = {}
    for field, value in parts:
        names.setdefault(field, []).append(value if isinstance(value, str) else value[0])
    files = {field: found for field, found in names.items() if not field.startswith("method_")}
    record.moved_to(PublishState.UPLOADED, directory, on_change, uploaded=now(), files=files)
    return Published(record.result_id, page)


def _meta_analysis(record: PublishRecord, environment: Environment, attempts: int) -> dict[str, Any]:
    reader = DocumentReader(environment, attempts)
    address = reader.compose_address("meta-analyses", record.meta_analysis_id)
    try:
        document = reader.get(address, f"meta-analysis {record.meta_analysis_id}", nested=True)
    except DocumentMissingError as error:
        raise PublishError(f"Compose has no meta-analysis to publish this result for: {error}") from error
    return document if isinstance(document, dict) else {}


def _result_of_lost_answer(
    record: PublishRecord,
    meta_analysis: dict[str, Any],
    environment: Environment,
    attempts: int,
    directory: ResultDirectory,
    on_change: Callable[[Path], object] | None,
) -> PublishRecord:
    """Find the result that a request made whose answer never came: a new one, without files."""
    _, listed = results_in(meta_analysis)
    earlier = set(record.earlier_results or ())
    reader = DocumentReader(environment, attempts)
    for result_id in listed:  # newest first
        if result_id in earlier:
            continue
        result = reader.get_if_any(reader.compose_address(RESULTS, result_id), f"result {result_id}")
        collection = result.get("neurovault_collection") if isinstance(result, dict) else None
        if not (isinstance(collection, dict) and collection.get("files")):
            return record.moved_to(PublishState.CREATED, directory, on_change, result_id=result_id, created=now())
    return record.moved_to(PublishState.PREPARED, directory, on_change)


def _usable_key(key: object, meta_analysis_id: str) -> str:
    """Refuse a key that cannot stand in a header, without showing it."""
    if not isinstance(key, str) or not key.strip():
        raise UploadKeyError(
            f"Compose gives no run key for meta-analysis {meta_analysis_id}, so its result needs an upload key "
            "of yours (--nsc-key)."
        )
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise UploadKeyError("The upload key has characters that no key has; was it copied completely?")
    return key


def matching_snapshots(bundle: Bundle, environment: Environment, *, attempts: int = 4) -> dict[Entity, str | None]:
    """Find snapshots on Compose with the very content of a bundle, so that it need not be sent again.

    An equal checksum in Compose's list settles it without a request; otherwise the newest few snapshots are
    fetched and compared. A snapshot that cannot be fetched is not linked.

    Returns
    -------
    dict of Entity to (str or None)
        Compose's id of the snapshot, or None where the content has to be sent whole.
    """
    with ThreadPoolExecutor(max_workers=len(Entity)) as threads:
        matches = threads.map(partial(_matching_snapshot, bundle, environment, attempts), Entity)
        return dict(zip(Entity, matches, strict=True))


def _matching_snapshot(bundle: Bundle, environment: Environment, attempts: int, entity: Entity) -> str | None:
    snapshots = bundle.snapshots.get(entity.value, ())
    content = bundle.document(entity)
    if any(snapshot.md5 for snapshot in snapshots):
        sums = snapshot_md5s(content)
        for snapshot in snapshots:
            if snapshot.md5 in sums:
                return snapshot.snapshot_id
    reader = DocumentReader(environment, attempts)
    for snapshot in snapshots[:_SNAPSHOTS_COMPARED]:
        if snapshot.snapshot_id is None:
            continue
        address = reader.compose_address(entity.snapshot_collection, snapshot.snapshot_id)
        document = reader.get_if_answered(address, f"snapshot {snapshot.snapshot_id} of the {entity.value}")
        stored = unwrapped(document, entity)
        if stored is not None and same_content(stored, content):
            return snapshot.snapshot_id
    return None
