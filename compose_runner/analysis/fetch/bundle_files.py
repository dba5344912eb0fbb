"""Bundles on a disk: read from a person's files, saved, and restored as they were fetched."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from compose_runner.analysis.fetch.bundle import PARTS, Bundle, Origin, text_or_none
from compose_runner.analysis.fetch.reach import Reach
from compose_runner.analysis.fetch.validation import check_annotation, check_specification, check_studyset
from compose_runner.compose.addresses import AllowedHosts
from compose_runner.compose.document_shapes import Entity, SnapshotReference, identifier, unwrapped
from compose_runner.compose.json_documents import MOST_BYTES, parse_json, strict_json
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ResultDirectoryError
from compose_runner.files import atomic_write

_ABOUT = "meta_analysis"


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
        for part in (*PARTS, _ABOUT):
            file = _existing(bundle_path / f"{part}.json")
            if file is not None:
                documents[part], sources[part] = _read_json(file, part), str(file)
            elif part != _ABOUT:
                raise DocumentMissingError(part, str(bundle_path / f"{part}.json"), "there is no such file")
    else:
        whole = _read_json(bundle_path, "bundle")
        if not isinstance(whole, dict):
            raise DocumentMalformedError("bundle", str(bundle_path), "it is not an object")
        documents, sources = whole, dict.fromkeys((*PARTS, _ABOUT), str(bundle_path))
        for part in PARTS:
            if part not in documents:
                raise DocumentMissingError(part, str(bundle_path), f"the bundle has no {part!r}")
    about = documents.get(_ABOUT)
    about = about if isinstance(about, dict) else {}
    return Bundle(
        studyset=check_studyset(_bare(documents, Entity.STUDYSET), "studyset", sources["studyset"]),
        annotation=check_annotation(_bare(documents, Entity.ANNOTATION), "annotation", sources["annotation"]),
        specification=check_specification(documents["specification"], "specification", sources["specification"]),
        origin=Origin.DISK,
        meta_analysis_id=label or text_or_none(about.get("id")),
        name=text_or_none(about.get("name")),
        sources={part: sources[part] for part in PARTS},
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

    Raises
    ------
    ResultDirectoryError
        Something else stands there. Nothing was changed.
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
        **{part: getattr(bundle, part) for part in PARTS},
    }
    if bundle_path.name.endswith((".json", ".json.gz")):
        files = {bundle_path: _as_bytes(bundle_path, documents)}
    else:
        files = {
            file: _as_bytes(file, document)
            for part, document in documents.items()
            for file in (bundle_path / f"{part}.json",)
        }
    # a bundle is what a person works with: even one that was saved here before may have been edited
    missing = {file: content for file, content in files.items() if not _is_kept(file, content)}
    for file, content in missing.items():
        atomic_write(file, content)
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


def load_received_bundle(path: str | os.PathLike[str], label: str | None = None) -> Bundle:
    """Read a bundle that somebody sent to a service.

    It is on this machine's disk, but not its owner's: it may name no file and no host that is not public, whatever the
    settings of the machine allow, and no snapshot on Compose.

    Parameters
    ----------
    path : path-like
        One JSON file.
    label : str, optional
        Name of the meta-analysis, which comes before the one that the bundle holds.

    Raises
    ------
    DocumentMissingError, DocumentMalformedError
        Naming the place in it.
    """
    bundle = load_bundle(path, label, AllowedHosts())
    # where the service keeps it says nothing to who sent it
    return replace(bundle, reach=Reach(), snapshots={}, sources=dict.fromkeys(PARTS, "a bundle that was sent"))


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
        SnapshotReference(identifier(entry), text_or_none(entry.get("md5")))
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


def _as_bytes(file: Path, document: Any) -> bytes:
    content = strict_json(document, ensure_ascii=True).encode() + b"\n"
    # no time in the header: the same bundle gives the same bytes
    return gzip.compress(content, mtime=0) if file.name.endswith(".gz") else content


def _is_kept(file: Path, content: bytes) -> bool:
    """Whether a file has this content already; raises ResultDirectoryError where it has another."""
    if not os.path.lexists(file):
        return False
    if file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content:
        return True
    raise ResultDirectoryError(
        f"The bundle cannot be kept in {file}: something else stands there, and was left as it is. Choose another name."
    )
