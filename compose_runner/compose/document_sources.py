"""Where the documents of a meta-analysis are fetched: NeuroStore first, Compose's snapshots when the store has none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from compose_runner.compose.document_shapes import (
    Entity,
    References,
    SnapshotReference,
    identifier,
    is_content,
    references_in,
    references_in_project,
    results_in,
    unwrapped,
)
from compose_runner.compose.http_client import get_json
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.compose.environments import Environment


@dataclass(frozen=True, slots=True)
class Found:
    """A document, where it was, and which of Compose's snapshots it is, if it is one that has an id."""

    document: dict[str, Any] = field(repr=False)
    address: str
    snapshot_id: str | None = None


class DocumentReader:
    """Fetches documents, none of them twice, and remembers which do not exist.

    Parameters
    ----------
    environment : Environment
        Where Compose and NeuroStore are.
    attempts : int
        Retries of each request.
    """

    def __init__(self, environment: Environment, attempts: int = 4) -> None:
        self._environment = environment
        self._attempts = attempts
        self._known: dict[str, Any] = {}
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()
        self.refused: list[str] = []
        self.unanswered: list[ServiceUnavailableError] = []

    def compose_address(self, collection: str, identity: str) -> str:
        """Address of one of Compose's documents."""
        return f"{self._environment.compose_api}/{collection}/{_segment(identity)}"

    def store_address(self, entity: Entity, identity: str) -> str:
        """Address of one of NeuroStore's studysets or annotations."""
        return f"{self._environment.neurostore_api}/{entity.collection}/{_segment(identity)}"

    def get(self, address: str, document: str, *, nested: bool = False) -> Any:
        """Fetch a document; errors are those of :func:`compose_runner.compose.http_client.get_json`."""
        with self._lock:
            lock = self._locks.setdefault(address, Lock())
        with lock:
            if address not in self._known:
                try:
                    self._known[address] = get_json(
                        address,
                        document,
                        fields={"nested": "true"} if nested else None,
                        attempts=self._attempts,
                    )
                except DocumentMissingError:
                    self._known[address] = None
                    self.refused.append(address)
                    raise
            known = self._known[address]
        if known is None:
            raise DocumentMissingError(document, address, "it does not exist")
        return known

    def get_if_any(self, address: str, document: str) -> Any:
        """Fetch a document that may be absent; None then, and when it is not JSON."""
        try:
            return self.get(address, document)
        except (DocumentMissingError, DocumentMalformedError):
            return None

    def get_if_answered(self, address: str, document: str) -> Any:
        """Fetch a document that we can do without: None as well when there is no answer, which is remembered."""
        try:
            return self.get_if_any(address, document)
        except ServiceUnavailableError as error:
            self._known[address] = None
            self.unanswered.append(error)
            return None


def find_live(meta_analysis: dict[str, Any], reader: DocumentReader) -> dict[Entity, Found]:
    """Fetch NeuroStore's present studyset and annotation at the same time; what it has not got is left out.

    Raises
    ------
    DocumentMalformedError
        The store answers with something else than what was asked for.
    ServiceUnavailableError
        The store, or Compose where it must be asked for ids, is out of reach.
    """
    with ThreadPoolExecutor(max_workers=len(Entity)) as pool:
        found = dict(zip(Entity, pool.map(partial(_live, meta_analysis, reader), Entity), strict=True))
    return {entity: document for entity, document in found.items() if document is not None}


def _live(meta_analysis: dict[str, Any], reader: DocumentReader, entity: Entity) -> Found | None:
    tried: set[str] = set()
    for identity in _store_ids(meta_analysis, reader, entity):
        if identity in tried:
            continue
        tried.add(identity)
        address = reader.store_address(entity, identity)
        what = f"{entity.value} {identity}"
        try:
            document = reader.get(address, what, nested=entity is Entity.STUDYSET)
        except DocumentMissingError:
            continue
        if not is_content(document, entity):
            raise DocumentMalformedError(what, address, f"it has no list of {entity.content_key}")
        return Found(document, address)
    return None


def _store_ids(meta_analysis: dict[str, Any], reader: DocumentReader, entity: Entity) -> Iterator[str]:
    """Yield ids under which the store may have it, likeliest first; a document is fetched when its turn comes."""
    here = references_in(meta_analysis, entity)
    yield from here.store_ids
    results, _ = results_in(meta_analysis)
    for result in results:
        yield from references_in(result, entity).store_ids
    there = references_in_project(_fetch_project(meta_analysis, reader), entity)
    yield from there.store_ids
    yield from here.linked_ids
    yield from there.linked_ids
    for reference_id in (*here.reference_ids, *there.reference_ids):
        address = reader.compose_address(entity.reference_collection, reference_id)
        reference = reader.get_if_answered(address, f"reference to {entity.value} {reference_id}")
        referred = references_in({f"neurostore_{entity.value}": reference}, entity)
        yield from referred.store_ids
        yield from referred.linked_ids
    for snapshot in here.snapshots:
        if snapshot.snapshot_id is not None and snapshot.content is None:
            document = _snapshot_document(snapshot, reader, entity)
            yield from references_in({entity.value: document}, entity).store_ids


def _fetch_project(meta_analysis: dict[str, Any], reader: DocumentReader) -> object:
    project = meta_analysis.get("project")
    project_id = identifier(project)
    if isinstance(project, dict) or project_id is None:
        return project
    return reader.get_if_answered(reader.compose_address("projects", project_id), f"project {project_id}")


def find_snapshots(meta_analysis: dict[str, Any], reader: DocumentReader) -> dict[Entity, Found] | None:
    """Take studyset and annotation from Compose's snapshots, both of the same result where there is such a pair.

    Returns
    -------
    dict or None
        None unless there is a snapshot of both.
    """
    first: dict[Entity, Found] = {}
    for references in _snapshot_pairs(meta_analysis, reader):
        pair = {}
        for entity in Entity:
            found = _first_usable(references[entity], meta_analysis, reader, entity)
            if found is not None:
                pair[entity] = found
                first.setdefault(entity, found)
        if len(pair) == len(Entity):
            return pair
    return first if len(first) == len(Entity) else None


def _snapshot_pairs(meta_analysis: dict[str, Any], reader: DocumentReader) -> Iterator[dict[Entity, References]]:
    """Yield what belongs together, newest first; results are fetched when their turn comes."""
    embedded, result_ids = results_in(meta_analysis)
    for document in (*embedded, meta_analysis):
        yield {entity: references_in(document, entity) for entity in Entity}
    for result_id in result_ids:
        address = reader.compose_address("meta-analysis-results", result_id)
        result = reader.get_if_any(address, f"result {result_id}")
        yield {entity: references_in(result, entity) for entity in Entity}


def _first_usable(
    references: References, meta_analysis: dict[str, Any], reader: DocumentReader, entity: Entity
) -> Found | None:
    for snapshot in references.snapshots:
        content, address = snapshot.content, ""
        if content is not None:
            address = reader.compose_address("meta-analyses", identifier(meta_analysis) or "")
        elif snapshot.snapshot_id is not None:
            address = reader.compose_address(entity.snapshot_collection, snapshot.snapshot_id)
            content = unwrapped(_snapshot_document(snapshot, reader, entity), entity)
        if content is not None:
            return Found(content, address, snapshot.snapshot_id)
    return None


def _snapshot_document(snapshot: SnapshotReference, reader: DocumentReader, entity: Entity) -> Any:
    if snapshot.snapshot_id is None:
        return None
    address = reader.compose_address(entity.snapshot_collection, snapshot.snapshot_id)
    return reader.get_if_any(address, f"snapshot {snapshot.snapshot_id} of the {entity.value}")


def distinct_snapshots(
    meta_analysis: dict[str, Any], entity: Entity, used: str | None = None
) -> tuple[SnapshotReference, ...]:
    """List the snapshots that Compose has by id, the one that was used first, then the newest first."""
    embedded, _ = results_in(meta_analysis)
    # the meta-analysis's own list has checksums, those of the results have the order
    own = references_in(meta_analysis, entity).snapshots
    listed = [snapshot for document in embedded for snapshot in references_in(document, entity).snapshots]
    md5s = {snapshot.snapshot_id: snapshot.md5 for snapshot in own if snapshot.md5}
    ids = [used, *(snapshot.snapshot_id for snapshot in (*listed, *own))]
    return tuple(
        SnapshotReference(snapshot_id, md5s.get(snapshot_id))
        for snapshot_id in dict.fromkeys(ids)
        if snapshot_id is not None
    )


def _segment(identity: str) -> str:
    """Make an id one segment of an address, whatever is in it."""
    return quote(identity, safe="", errors="replace")
