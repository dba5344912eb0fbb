"""The inputs of one meta-analysis: its studyset, its annotation and its specification.

They come from Compose and NeuroStore (:func:`fetch_bundle`) or from a disk
(:mod:`compose_runner.analysis.fetch.bundle_files`).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.fetch.reach import Reach
from compose_runner.analysis.fetch.validation import check_annotation, check_specification, check_studyset
from compose_runner.compose.document_shapes import Entity, SnapshotReference, canonical_json, identifier
from compose_runner.compose.document_sources import DocumentReader, Found, distinct_snapshots, find_live, find_snapshots
from compose_runner.compose.page_addresses import describe_missing
from compose_runner.errors import DocumentMalformedError, DocumentMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compose_runner.compose.environments import Environment

log = logging.getLogger(__name__)

PARTS = ("studyset", "annotation", "specification")


class Origin(StrEnum):
    """Which state of the documents a bundle holds."""

    LIVE = "live"
    SNAPSHOT = "snapshot"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything that one meta-analysis is computed from.

    Parameters
    ----------
    studyset, annotation, specification : dict
        The documents as they were served.
    origin : Origin
        Whether studyset and annotation are NeuroStore's present ones, or snapshots that Compose kept. They are
        always of the same kind.
    meta_analysis_id : str or None
        None for a bundle from a disk that does not say.
    name : str or None
        What the researcher called the meta-analysis.
    run_key : str or None
        Key with which Compose lets this meta-analysis's results be uploaded; never shown, never saved.
    sources : dict
        Address (or path) of each document.
    snapshots : dict
        Snapshots that Compose has of the studyset and the annotation, newest first, so that an upload can refer to
        one of them instead of sending the same content again.
    reach : Reach
        What the locations in the documents may lead to. Only a bundle from a disk gives more than the public internet.
    """

    studyset: dict[str, Any] = field(repr=False)
    annotation: dict[str, Any] = field(repr=False)
    specification: dict[str, Any] = field(repr=False)
    origin: Origin
    meta_analysis_id: str | None = None
    name: str | None = None
    run_key: str | None = field(default=None, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, tuple[SnapshotReference, ...]] = field(default_factory=dict, repr=False)
    reach: Reach = field(default_factory=Reach)

    def document(self, entity: Entity) -> dict[str, Any]:
        """The studyset or the annotation."""
        return self.studyset if entity is Entity.STUDYSET else self.annotation

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the canonical JSON of each document, as hexadecimal digits."""
        return {part: hashlib.sha256(canonical_json(getattr(self, part))).hexdigest() for part in PARTS}


def fetch_bundle(
    meta_analysis_id: str,
    environment: Environment,
    *,
    attempts: int = 4,
    check: Callable[[dict[str, Any]], object] | None = None,
) -> Bundle:
    """Fetch a meta-analysis's inputs from Compose and NeuroStore.

    NeuroStore's present documents are preferred. Compose's snapshots serve when the store says that it has not got
    one of them (any refusal that will not pass); then both are snapshots, because notes select analyses by id, and a
    studyset of one day with an annotation of another would select what the researcher never saw. A store that
    is out of reach (no answer, 429, 5xx after all retries) is an error to try again later, not a reason to compute
    from older documents: the same meta-analysis would give other maps on a bad day.

    Only documents that are needed are asked for: usually the meta-analysis, then its studyset and annotation
    at the same time.

    Parameters
    ----------
    meta_analysis_id : str
        Compose's id.
    environment : Environment
        Where Compose and NeuroStore are.
    attempts : int
        Retries of each request.
    check : callable, optional
        Takes the specification before the studyset and the annotation are asked for, and raises if it cannot run.

    Raises
    ------
    DocumentMissingError
        A document exists nowhere; names it and where it was looked for.
    DocumentMalformedError
        A document is not what its place promises; names the place in it.
    ServiceUnavailableError
        A service is out of reach; trying again later may help.
    """
    reader = DocumentReader(environment, attempts)
    what = f"meta-analysis {meta_analysis_id}"
    if not isinstance(meta_analysis_id, str) or not meta_analysis_id.strip():
        raise DocumentMissingError(what, f"{environment.compose_api}/meta-analyses", "an empty id names nothing")
    address = reader.compose_address("meta-analyses", meta_analysis_id)
    try:
        meta_analysis = reader.get(address, what, nested=True)
    except DocumentMissingError as error:
        missing = f"{error.reason}. {describe_missing(meta_analysis_id, environment.name)}"
        raise DocumentMissingError(what, address, missing) from error
    if not isinstance(meta_analysis, dict):
        raise DocumentMalformedError(what, address, "the answer is not an object")
    specification = _fetch_specification(meta_analysis, reader, what, address)
    if check is not None:
        check(specification.document)

    live = find_live(meta_analysis, reader)
    found: Mapping[Entity, Found] | None = live if len(live) == len(Entity) else None
    origin = Origin.LIVE
    if found is None:
        found, origin = find_snapshots(meta_analysis, reader), Origin.SNAPSHOT
    if found is None and reader.unanswered:
        raise reader.unanswered[0]
    if found is None:
        lacking = " and ".join(entity.value for entity in Entity if entity not in live)
        tried = ", ".join(reader.refused) or "no other address is given"
        raise DocumentMissingError(
            f"{lacking} of {what}", address, f"neither NeuroStore nor a complete snapshot has it; tried {tried}"
        )
    if origin is Origin.SNAPSHOT:
        log.warning(
            "NeuroStore does not have the %s; both documents are snapshots that Compose kept.",
            " and the ".join(entity.value for entity in Entity if entity not in live),
        )
    studyset, annotation = found[Entity.STUDYSET], found[Entity.ANNOTATION]
    return Bundle(
        studyset=check_studyset(studyset.document, f"studyset of {what}", studyset.address),
        annotation=check_annotation(annotation.document, f"annotation of {what}", annotation.address),
        specification=specification.document,
        origin=origin,
        meta_analysis_id=meta_analysis_id,
        name=text_or_none(meta_analysis.get("name")),
        run_key=text_or_none(meta_analysis.get("run_key")),
        sources={
            "meta_analysis": address,
            "specification": specification.address,
            "studyset": studyset.address,
            "annotation": annotation.address,
        },
        snapshots={
            entity.value: distinct_snapshots(meta_analysis, entity, found[entity].snapshot_id) for entity in Entity
        },
    )


def _fetch_specification(meta_analysis: dict[str, Any], reader: DocumentReader, what: str, address: str) -> Found:
    """Take the specification, which stands in the meta-analysis, or is named there by its id."""
    specification = meta_analysis.get("specification")
    if specification is None:
        raise DocumentMissingError(f"specification of {what}", address, "the meta-analysis has none")
    if isinstance(specification, str) and (specification_id := identifier(specification)):
        address = reader.compose_address("specifications", specification_id)
        specification = reader.get(address, f"specification {specification_id}")
    return Found(check_specification(specification, f"specification of {what}", address), address)


def text_or_none(value: object) -> str | None:
    """Take a field of a document that holds a text; None for any other, and for an empty one."""
    return value if isinstance(value, str) and value.strip() else None
