"""The inputs of one meta-analysis: its studyset, its annotation and its specification.

They come from Compose and NeuroStore (:func:`fetch_bundle`) or from a disk (:func:`load_bundle`), and can be saved
(:func:`save_bundle`), so that a run can be repeated on exactly what it read.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.fetch.reach import Reach
from compose_runner.analysis.fetch.validation import check_annotation, check_specification, check_studyset
from compose_runner.compose.document_shapes import Entity, SnapshotReference, canonical_json, identifier, unwrapped
from compose_runner.compose.document_sources import DocumentReader, Found, distinct_snapshots, find_live, find_snapshots
from compose_runner.compose.json_documents import MOST_BYTES, parse_json, strict_json
from compose_runner.errors import DocumentMalformedError, DocumentMissingError
from compose_runner.files import atomic_write

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from compose_runner.compose.addresses import AllowedHosts
    from compose_runner.compose.environments import Environment

log = logging.getLogger(__name__)

_PARTS = ("studyset", "annotation", "specification")
_ABOUT = "meta_analysis"


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
        What the locations in the documents may lead to. Only :func:`load_bundle` gives more than the public internet.
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
        return {part: hashlib.sha256(canonical_json(getattr(self, part))).hexdigest() for part in _PARTS}


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
    meta_analysis = reader.get(address, what, nested=True)
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
        name=_text(meta_analysis.get("name")),
        run_key=_text(meta_analysis.get("run_key")),
        sources={
            _ABOUT: address,
            "specification": specification.address,
            "studyset": studyset.address,
            "annotation": annotation.address,
        },
        snapshots={
            entity.value: distinct_snapshots(meta_analysis, entity, found[entity].snapshot_id) for entity in Entity
        },
    )


def fetch_run_key(meta_analysis_id: str, environment: Environment, *, attempts: int = 4) -> str | None:
    """Ask Compose for the key with which results of a meta-analysis can be uploaded; None when it gives none."""
    reader = DocumentReader(environment, attempts)
    address = reader.compose_address("meta-analyses", meta_analysis_id)
    meta_analysis = reader.get(address, f"meta-analysis {meta_analysis_id}", nested=True)
    return _text(meta_analysis.get("run_key")) if isinstance(meta_analysis, dict) else None


def _fetch_specification(meta_analysis: dict[str, Any], reader: DocumentReader, what: str, address: str) -> Found:
    """Take the specification, which stands in the meta-analysis, or is named there by its id."""
    specification = meta_analysis.get("specification")
    if specification is None:
        raise DocumentMissingError(f"specification of {what}", address, "the meta-analysis has none")
    if isinstance(specification, str) and (specification_id := identifier(specification)):
        address = reader.compose_address("specifications", specification_id)
        specification = reader.get(address, f"specification {specification_id}")
    return Found(check_specification(specification, f"specification of {what}", address), address)


def load_bundle(
    path: str | os.PathLike[str], label: str | None = None, allowed_hosts: AllowedHosts | None = None
) -> Bundle:
    """Read a bundle from a disk.

    Its documents may name maps in the folder where it is and below; see
    :class:`compose_runner.analysis.fetch.reach.Reach`.

    Parameters
    ----------
    path : path-like
        One JSON file with the keys ``studyset``, ``annotation`` and ``specification``; or a directory with
        ``studyset.json``, ``annotation.json`` and ``specification.json``, or with ``bundle.json`` (as a result
        directory has it). Each can be compressed (``.json.gz``).
    label : str, optional
        Name of the meta-analysis, which comes before the one that the bundle holds.
    allowed_hosts : AllowedHosts, optional
        Hosts that its maps may come from, wherever they are; by default from the public internet only.

    Raises
    ------
    DocumentMissingError, DocumentMalformedError
        Naming the file, and the place in it.
    """
    bundle_path = Path(path).expanduser()
    if bundle_path.is_dir() and _existing(bundle_path / "studyset.json") is None:
        bundle_path = _existing(bundle_path / "bundle.json") or bundle_path
    folder = bundle_path if bundle_path.is_dir() else bundle_path.parent
    if bundle_path.is_dir():
        documents, sources = {}, {}
        for part in (*_PARTS, _ABOUT):
            file = _existing(bundle_path / f"{part}.json")
            if file is not None:
                documents[part], sources[part] = _read_json(file, part), str(file)
            elif part != _ABOUT:
                raise DocumentMissingError(part, str(bundle_path / f"{part}.json"), "there is no such file")
    else:
        whole = _read_json(bundle_path, "bundle")
        if not isinstance(whole, dict):
            raise DocumentMalformedError("bundle", str(bundle_path), "it is not an object")
        documents, sources = whole, dict.fromkeys((*_PARTS, _ABOUT), str(bundle_path))
        for part in _PARTS:
            if part not in documents:
                raise DocumentMissingError(part, str(bundle_path), f"the bundle has no {part!r}")
    about = documents.get(_ABOUT)
    about = about if isinstance(about, dict) else {}
    return Bundle(
        studyset=check_studyset(_bare(documents, Entity.STUDYSET), "studyset", sources["studyset"]),
        annotation=check_annotation(_bare(documents, Entity.ANNOTATION), "annotation", sources["annotation"]),
        specification=check_specification(documents["specification"], "specification", sources["specification"]),
        origin=Origin.DISK,
        meta_analysis_id=label or _text(about.get("id")),
        name=_text(about.get("name")),
        sources={part: sources[part] for part in _PARTS},
        snapshots={entity.value: _snapshots_read(about, entity) for entity in Entity},
        reach=Reach(folder.absolute()) if allowed_hosts is None else Reach(folder.absolute(), allowed_hosts),
    )


def save_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> Path:
    """Write a bundle so that :func:`load_bundle` reads it back; the run key is not part of it.

    Parameters
    ----------
    bundle : Bundle
        What to write.
    path : path-like
        A file when it ends in ``.json`` or ``.json.gz``, otherwise a directory, made when it does not exist.

    Returns
    -------
    Path
        Where it is.
    """
    bundle_path = Path(path).expanduser()
    documents: dict[str, Any] = {
        _ABOUT: {
            "id": bundle.meta_analysis_id,
            "name": bundle.name,
            "origin": bundle.origin.value,
            "sources": dict(bundle.sources),
            "snapshots": {
                name: [{"id": snapshot.snapshot_id, "md5": snapshot.md5} for snapshot in snapshots]
                for name, snapshots in bundle.snapshots.items()
            },
        },
        **{part: getattr(bundle, part) for part in _PARTS},
    }
    if bundle_path.name.endswith((".json", ".json.gz")):
        _write_json(bundle_path, documents)
    else:
        for part, document in documents.items():
            _write_json(bundle_path / f"{part}.json", document)
    return bundle_path


def restore_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle that :func:`save_bundle` wrote in one file, as what it was when it was fetched.

    Unlike :func:`load_bundle` it gives the origin and the addresses of then: an interrupted job goes on from its own
    inputs, which are not a researcher's file, so that they may name no files either.
    """
    bundle = load_bundle(path)
    about = _read_json(Path(path), "bundle").get(_ABOUT) or {}
    sources = about.get("sources")
    return replace(
        bundle,
        origin=Origin(about.get("origin", Origin.DISK)),
        sources=sources if isinstance(sources, dict) else bundle.sources,
        reach=Reach(),
    )


def _bare(documents: dict[str, Any], entity: Entity) -> object:
    """A studyset (annotation) that was saved with Compose's wrapper around it, without it."""
    document = documents[entity.value]
    content = unwrapped(document, entity)
    return document if content is None else content


def _snapshots_read(about: dict[str, Any], entity: Entity) -> tuple[SnapshotReference, ...]:
    snapshots = about.get("snapshots")
    entries = snapshots.get(entity.value) if isinstance(snapshots, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(
        SnapshotReference(identifier(entry), _text(entry.get("md5")))
        for entry in entries
        if isinstance(entry, dict) and identifier(entry)
    )


def _existing(file: Path) -> Path | None:
    compressed = file.with_name(f"{file.name}.gz")
    return next((one for one in (file, compressed) if one.is_file()), None)


def _read_json(file: Path, document: str) -> Any:
    try:
        with file.open("rb") as raw:
            compressed = raw.peek(2)[:2] == b"\x1f\x8b"
            with gzip.open(raw) if compressed else raw as readable:
                content = readable.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise DocumentMissingError(document, str(file), "there is no such file") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DocumentMalformedError(document, str(file), "it is not JSON") from error
    except OSError as error:
        raise DocumentMissingError(document, str(file), f"it cannot be read: {error.strerror}") from error
    return parse_json(content, document, str(file))


def _write_json(file: Path, document: Any) -> None:
    content = strict_json(document, ensure_ascii=True).encode() + b"\n"
    # no time in the header: the same bundle gives the same bytes
    atomic_write(file, gzip.compress(content, mtime=0) if file.name.endswith(".gz") else content)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
