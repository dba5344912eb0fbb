"""Publish a result directory on Compose: make the result once, then give it its files, as often as that takes.

Making a result makes a NeuroVault collection on Compose's side, so the POST is never repeated for a result that
exists. When its answer is lost, nobody knows whether it does: the next attempt compares the meta-analysis's results
with those that were listed before, and takes the new one that has no files yet. The PUT can be repeated.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
from filelock import FileLock, Timeout
from urllib3.util.retry import Retry

from compose_runner import __version__
from compose_runner.analysis.bundle import Bundle, load_bundle, save_bundle
from compose_runner.analysis.coverage import COVERAGE_FILENAME
from compose_runner.analysis.document_shapes import (
    Entity,
    identifier,
    results_in,
    same_content,
    snapshot_md5s,
    unwrapped,
)
from compose_runner.analysis.document_sources import DocumentReader
from compose_runner.analysis.publish_record import (
    BUNDLE_FILENAME,
    PublishRecord,
    PublishState,
    now,
    read_record,
)
from compose_runner.environments import environment_named
from compose_runner.errors import (
    ComposeRunnerError,
    DocumentMissingError,
    PublishError,
    ServiceUnavailableError,
)
from compose_runner.web import CONNECT_SECONDS, MAY_PASS, pool, reason_of, retries

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from compose_runner.environments import Environment

UPLOAD_KEY_HEADER = "Compose-Upload-Key"
RESULTS = "meta-analysis-results"
BOILERPLATE_FILENAME = "boilerplate.txt"
REFERENCES_FILENAME = "references.bib"

_CREATE_SECONDS = 180.0  # Compose makes the collection on NeuroVault before it answers
_UPLOAD_SECONDS = 600.0
_WORDS_SHOWN = 300
_SNAPSHOTS_COMPARED = 3

Part = tuple[str, str | tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True)
class Published:
    """A result on Compose: its id, and the page of the meta-analysis on which a person sees it."""

    result_id: str
    url: str


def prepare_publish(result_dir: str | os.PathLike[str], bundle: Bundle, environment: Environment) -> None:
    """Put into a result directory what :func:`publish` needs besides maps and tables.

    Writes ``bundle.json.gz`` (the inputs, without any key) and ``publish.json``. A result that an earlier run on the
    same inputs made, but never filled, is kept: it is the one to fill.

    Parameters
    ----------
    result_dir : path-like
        Where the run writes.
    bundle : Bundle
        What it computes from. Without a ``meta_analysis_id`` there is no place to publish at, and nothing is written.
    environment : Environment
        Which Compose the meta-analysis belongs to.
    """
    if bundle.meta_analysis_id is None:
        return
    place = Path(result_dir)
    fresh = PublishRecord(
        meta_analysis_id=bundle.meta_analysis_id, environment=environment.name, inputs=bundle.checksums()
    )
    save_bundle(bundle, place / BUNDLE_FILENAME)
    try:
        earlier = read_record(place)
    except PublishError:
        earlier = None
    unfinished = earlier is not None and earlier.state in (PublishState.CREATING, PublishState.CREATED)
    if earlier is None or not unfinished or _identity(earlier) != _identity(fresh):
        fresh.write(place)


def _identity(record: PublishRecord) -> tuple[object, ...]:
    return record.meta_analysis_id, record.environment, record.inputs


def publish(
    result_dir: str | os.PathLike[str],
    *,
    upload_key: str | None = None,
    environment: Environment | None = None,
    attempts: int = 4,
) -> Published:
    """Publish a result directory, or what is missing of it; one that is published already is left as it is.

    Parameters
    ----------
    result_dir : path-like
        Where a run wrote its artifacts and :func:`prepare_publish` its record.
    upload_key : str, optional
        Key of the caller, which comes before the run key that Compose gives for the meta-analysis.
    environment : Environment, optional
        Where Compose is; by default the record's environment.
    attempts : int
        Retries of each request but the one that makes the result.

    Raises
    ------
    PublishError
        Compose refuses; in its words. What was computed is safe.
    ServiceUnavailableError
        Compose is out of reach; what was done is recorded, and the next call goes on from there.
    """
    place = Path(result_dir).expanduser().resolve()
    if not place.is_dir():
        raise PublishError(f"{place} is not a directory")
    try:
        with FileLock(place / ".publish.lock", timeout=0):
            return _publish(place, upload_key, environment, attempts)
    except Timeout as error:
        raise PublishError(f"{place} is being published by another process") from error


def _publish(place: Path, upload_key: str | None, environment: Environment | None, attempts: int) -> Published:
    record = read_record(place)
    environment = environment or environment_named(record.environment)
    page = environment.page_of(record.meta_analysis_id)
    if record.state is PublishState.UPLOADED and record.result_id is not None:
        return Published(record.result_id, page)
    parts = upload_parts(place)
    meta_analysis = _meta_analysis(record, environment, attempts)
    key = _usable_key(upload_key or meta_analysis.get("run_key"), record.meta_analysis_id)
    if record.state is PublishState.CREATING:
        record = _result_of_lost_answer(record, meta_analysis, environment, attempts, place)
    if record.result_id is None:
        bundle = load_bundle(place / BUNDLE_FILENAME)
        _, earlier = results_in(meta_analysis)
        snapshots = matching_snapshots(bundle, environment, attempts=attempts)
        sent = {entity.value: snapshots.get(entity) or "whole" for entity in Entity}
        record = record.moved_to(PublishState.CREATING, place, earlier_results=earlier, sent=sent)
        try:
            result_id = create_result(bundle, record.meta_analysis_id, snapshots, environment, key)
        except PublishError:  # a refusal is an answer: there is no result
            record.moved_to(PublishState.PREPARED, place)
            raise
        record = record.moved_to(PublishState.CREATED, place, result_id=result_id, created=now())
    assert record.result_id is not None
    upload_artifacts(record.result_id, parts, environment, key, attempts=attempts)
    names: dict[str, list[str]] = {}
    for field, value in parts:
        names.setdefault(field, []).append(value if isinstance(value, str) else value[0])
    files = {field: found for field, found in names.items() if not field.startswith("method_")}
    record.moved_to(PublishState.UPLOADED, place, uploaded=now(), files=files)
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
    place: Path,
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
            return record.moved_to(PublishState.CREATED, place, result_id=result_id, created=now())
    return record.moved_to(PublishState.PREPARED, place)


def _usable_key(key: object, meta_analysis_id: str) -> str:
    """Refuse a key that cannot stand in a header, without showing it."""
    if not isinstance(key, str) or not key.strip():
        raise PublishError(
            f"Compose gives no run key for meta-analysis {meta_analysis_id}, so its result needs an upload key "
            "of yours (--nsc-key)."
        )
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise PublishError("The upload key has characters that no key has; was it copied completely?")
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


def create_result(
    bundle: Bundle,
    meta_analysis_id: str,
    snapshots: Mapping[Entity, str | None],
    environment: Environment,
    upload_key: str,
) -> str:
    """Make a result on Compose; sent once, since every such request makes a NeuroVault collection.

    Parameters
    ----------
    bundle : Bundle
        The inputs, sent whole where no snapshot has their content.
    meta_analysis_id : str
        Whose result it is.
    snapshots : dict of Entity to (str or None)
        What :func:`matching_snapshots` found.
    environment : Environment
        Where Compose is.
    upload_key : str
        Travels in a header, never in an error.

    Returns
    -------
    str
        Compose's id of the result.

    Raises
    ------
    PublishError
        Compose refuses, so there is no result.
    ServiceUnavailableError
        No answer, or one that leaves open whether there is a result now.
    """
    body: dict[str, Any] = {"meta_analysis_id": meta_analysis_id, "cli_version": __version__}
    for entity in Entity:
        if snapshot_id := snapshots.get(entity):
            body[f"snapshot_{entity.value}_id"] = snapshot_id
        else:
            body[f"snapshot_{entity.value}"] = bundle.document(entity)
    address = f"{environment.compose_api}/{RESULTS}"
    what = f"result of meta-analysis {meta_analysis_id}"
    try:
        answer = pool().request(
            "POST",
            address,
            body=json.dumps(body).encode(),
            headers={UPLOAD_KEY_HEADER: upload_key, "Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=_CREATE_SECONDS),
            # a connection that was never made sent nothing, so only that is tried again
            retries=Retry(total=None, connect=3, read=False, redirect=0, status=0, other=0, backoff_factor=0.5),
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(what, address, f"no answer ({reason_of(error)})") from None
    _refuse_errors(answer, what, address, upload_key)
    try:
        result_id = identifier(json.loads(answer.data))
    except ValueError:
        result_id = None
    if result_id is None:
        raise ServiceUnavailableError(what, address, "Compose took it, but its answer names no result")
    return result_id


def upload_parts(result_dir: Path) -> list[Part]:
    """Collect what Compose takes of a result directory, under the names of its fields.

    ``statistical_maps`` are all maps but label maps, ``cluster_tables`` those tables of clusters that have a row,
    ``diagnostic_tables`` NiMARE's other tables; texts are left out when they are empty, since an empty one would
    replace what Compose has.

    Raises
    ------
    PublishError
        There is no map.
    """
    parts: list[Part] = [
        ("statistical_maps", (path.name, path.read_bytes(), "application/gzip"))
        for path in sorted(result_dir.glob("*.nii.gz"))
        if not path.name.startswith("label_")
    ]
    for path in sorted(result_dir.glob("*.tsv")):
        if path.name == COVERAGE_FILENAME:
            continue
        content = path.read_bytes()
        table = (path.name, content, "text/tab-separated-values")
        if not path.stem.endswith("clust"):
            parts.append(("diagnostic_tables", table))
        elif len(content.splitlines()) > 1:  # more than the names of the columns
            parts.append(("cluster_tables", table))
    for field, name in (
        ("method_description", BOILERPLATE_FILENAME),
        ("method_references", REFERENCES_FILENAME),
    ):
        path = result_dir / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text.strip():
            parts.append((field, text))
    if not any(field == "statistical_maps" for field, _ in parts):
        raise PublishError("There is no statistical map to publish: the run that made this directory did not finish.")
    return parts


def upload_artifacts(
    result_id: str, parts: list[Part], environment: Environment, upload_key: str, *, attempts: int = 4
) -> None:
    """Give a result its files and texts; may be repeated.

    Parameters
    ----------
    result_id : str
        Compose's id of the result.
    parts : list
        What :func:`upload_parts` collected.
    environment : Environment
        Where Compose is.
    upload_key : str
        Travels in a header, never in an error.
    attempts : int
        Retries after the first try.

    Raises
    ------
    PublishError
        Compose refuses them.
    ServiceUnavailableError
        Compose is out of reach after all retries.
    """
    address = DocumentReader(environment).compose_address(RESULTS, result_id)
    what = f"files of result {result_id}"
    try:
        answer = pool().request(
            "PUT",
            address,
            fields=parts,
            headers={UPLOAD_KEY_HEADER: upload_key},
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=_UPLOAD_SECONDS),
            retries=retries(attempts),
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(what, address, f"no answer ({reason_of(error)})") from None
    _refuse_errors(answer, what, address, upload_key)


def _refuse_errors(answer: urllib3.BaseHTTPResponse, what: str, address: str, upload_key: str) -> None:
    """Turn an answer other than success into the error that it means."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    words = _words_of(answer.data.replace(upload_key.encode(), b"***"))
    said = f"Compose answered {answer.status}" + (f": {words}" if words else "")
    error: ComposeRunnerError
    if answer.status in MAY_PASS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        error = ServiceUnavailableError(what, address, said)
    elif answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        error = PublishError(f"{what}: {said} ({address}). The upload key is not valid for this meta-analysis.")
    else:
        error = PublishError(f"{what}: {said} ({address}). What was computed is safe in the result directory.")
    raise error


def _words_of(body: bytes) -> str:
    """The reason in an answer, in one short line."""
    text = body[:100_000].decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        said = (document.get(key) for key in ("detail", "message", "error", "title"))
        text = next((str(words) for words in said if words), text)
    text = re.sub(r"<[^>]*>", " ", text)  # a proxy in between answers with a page
    text = " ".join(text.split())
    return text if len(text) <= _WORDS_SHOWN else f"{text[:_WORDS_SHOWN]}…"
