"""Where studyset and annotation stand in Compose's documents, in every shape in which it ever served them.

Pure: dictionaries in, references out, nothing is fetched. What has an unexpected type is passed over as if it
were not there; :mod:`compose_runner.analysis.fetch.bundle` says what is missing in the end.

The shapes, oldest first:

- ``studyset``: ``{"id": <snapshot>, "neurostore_id": <store>, "snapshot": {...} | null}``, and beside it
  ``cached_studyset``: the snapshot's id;
- ``neurostore_studyset``: ``{"id": <store>, "studysets": [{"id": <snapshot>, "md5"}]}``, and beside it
  ``snapshots``: ``[{"result_id", "snapshot_studyset_id", "snapshot_annotation_id"}]``, oldest first;
- ``neurostore_studyset``: ``{"id": <store>, "snapshot": {...}}``;
- a string wherever an object with an ``id`` can stand, ``null`` wherever anything can.

Annotations have the same shapes. The content of a snapshot comes bare, or wrapped once or more in ``snapshot`` or
``cached``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from compose_runner.compose.json_documents import strict_json

WRAPPERS = ("snapshot", "cached")
_DEEPEST_WRAPPING = 8


class Entity(StrEnum):
    """The two documents that a meta-analysis is made of, besides its specification."""

    STUDYSET = "studyset"
    ANNOTATION = "annotation"

    @property
    def collection(self) -> str:
        """The word for many of them, in NeuroStore's addresses and in Compose's lists."""
        return f"{self.value}s"

    @property
    def snapshot_collection(self) -> str:
        """Where Compose keeps snapshots of them."""
        return f"snapshot-{self.collection}"

    @property
    def reference_collection(self) -> str:
        """Where Compose keeps its references to NeuroStore's documents."""
        return f"neurostore-{self.collection}"

    @property
    def content_key(self) -> str:
        """The list without which such a document has no content."""
        return "studies" if self is Entity.STUDYSET else "notes"


@dataclass(frozen=True, slots=True)
class SnapshotReference:
    """A copy that Compose keeps of a document: by id, or right here.

    Parameters
    ----------
    snapshot_id : str or None
        Compose's id of the copy.
    md5 : str or None
        Compose's checksum of it, see :func:`snapshot_md5s`.
    content : dict or None
        The copy itself, unwrapped, where the document embeds it.
    """

    snapshot_id: str | None = None
    md5: str | None = None
    content: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class References:
    """What one document says about where its studyset (or annotation) is.

    Parameters
    ----------
    store_ids : tuple of str
        Ids under which NeuroStore should have it.
    linked_ids : tuple of str
        Ids of linked documents, under which NeuroStore had it when ``store_ids`` held Compose's own ids.
    reference_ids : tuple of str
        Compose's ids of its reference to it, where the document has only the id.
    snapshots : tuple of SnapshotReference
        Copies, newest first.
    """

    store_ids: tuple[str, ...] = ()
    linked_ids: tuple[str, ...] = ()
    reference_ids: tuple[str, ...] = ()
    snapshots: tuple[SnapshotReference, ...] = ()


def identifier(value: object) -> str | None:
    """Id of a document that is named by its id alone or stands here itself."""
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value.strip() else None


def is_content(document: object, entity: Entity) -> bool:
    """Whether a document is a studyset (an annotation) itself, not a wrapper or a placeholder of one."""
    return isinstance(document, dict) and isinstance(document.get(entity.content_key), list)


def unwrapped(document: object, entity: Entity) -> dict[str, Any] | None:
    """Content of a snapshot, out of its wrappers; None for a placeholder."""
    for _ in range(_DEEPEST_WRAPPING):
        if not isinstance(document, dict):
            return None
        if is_content(document, entity):
            return document
        document = next((document[key] for key in WRAPPERS if isinstance(document.get(key), dict)), None)
    return None


def references_in(document: object, entity: Entity) -> References:
    """Find the studyset (or annotation) in a meta-analysis, a result or an entry of ``snapshots``."""
    if not isinstance(document, dict):
        return References()
    name = entity.value
    store_ids: list[str | None] = []
    linked_ids: list[str | None] = []
    reference_ids: list[str | None] = []
    snapshots: list[SnapshotReference] = []

    for key in (f"neurostore_{name}", f"neurostore_{name}_id"):
        reference = document.get(key)
        if not isinstance(reference, dict):
            store_ids.append(identifier(reference))
            if not key.endswith("_id"):
                reference_ids.append(identifier(reference))
            continue
        store_ids += [_text(reference.get("neurostore_id")), identifier(reference)]
        content = unwrapped(reference, entity)
        if content is not None:
            snapshots.append(SnapshotReference(content=content))
        children = _newest_first(reference.get(entity.collection))
        linked_ids += [_neurostore_id(child) or identifier(child) for child in children]
        snapshots += [_snapshot(child, entity) for child in children]

    own_keys = (name, f"snapshot_{name}", f"{name}_snapshot", f"cached_{name}")
    for key in (f"snapshot_{name}_id", f"cached_{name}_id", f"internal_{name}_id", *own_keys):
        value = document.get(key)
        store_ids.append(_neurostore_id(value))
        if is_content(value, entity):  # the document itself, so its id is NeuroStore's
            store_ids.append(identifier(value))
            snapshots.append(SnapshotReference(content=value))
        else:
            snapshots.append(_snapshot(value, entity))
    return References(
        _distinct(store_ids), _distinct(linked_ids), _distinct(reference_ids), _distinct_snapshots(snapshots)
    )


def references_in_project(document: object, entity: Entity) -> References:
    """Find NeuroStore's ids in a project, which keeps them in its own places."""
    if not isinstance(document, dict):
        return References()
    direct = references_in(document, entity)
    provenance = document.get("provenance")
    extraction = provenance.get("extractionMetadata") if isinstance(provenance, dict) else None
    extracted = extraction.get(f"{entity.value}Id") if isinstance(extraction, dict) else None
    store_ids = _distinct([*direct.store_ids, identifier(extracted)])
    return References(store_ids, direct.linked_ids, direct.reference_ids)


def results_in(meta_analysis: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Find a meta-analysis's results, newest first.

    Returns
    -------
    embedded : list of dict
        Results, or entries of ``snapshots``, that stand in the document itself.
    result_ids : list of str
        Results that have to be asked for to know their snapshots.
    """
    embedded: list[dict[str, Any]] = []
    named: list[str | None] = []
    for key in ("snapshots", "results"):
        for result in _newest_first(meta_analysis.get(key)):
            if isinstance(result, dict):
                embedded.append(result)
                named.append(_text(result.get("result_id")) or identifier(result))
            else:
                named.append(identifier(result))
    return embedded, list(_distinct(named))


def canonical_json(document: object) -> bytes:
    """Make the one byte string of a JSON document, whatever the order of its keys, for checksums."""
    text = strict_json(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def same_content(one: object, other: object) -> bool:
    """Whether two documents are equal as JSON; 1, 1.0 and true differ, as they do in Compose's checksum."""
    return canonical_json(one) == canonical_json(other)


def snapshot_md5s(content: dict[str, Any]) -> frozenset[str]:
    """Compute the checksums under which Compose may list a snapshot.

    Compose takes the MD5 of the canonical JSON of what it stores: the content, or the content in one wrapper.
    (Found by computing it for recorded snapshots; an equal checksum proves equal content, a different one nothing.)
    """
    forms = (content, *({wrapper: content} for wrapper in WRAPPERS))
    return frozenset(hashlib.md5(canonical_json(form), usedforsecurity=False).hexdigest() for form in forms)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _neurostore_id(value: object) -> str | None:
    return _text(value.get("neurostore_id")) if isinstance(value, dict) else None


def _snapshot(value: object, entity: Entity) -> SnapshotReference:
    md5 = _text(value.get("md5")) if isinstance(value, dict) else None
    return SnapshotReference(identifier(value), md5, unwrapped(value, entity))


def _newest_first(values: object) -> list[Any]:
    """Reverse a list, which Compose keeps in the order of creation; sort it where all entries have dates."""
    if not isinstance(values, list):
        return []
    values = values[::-1]
    dates = [value.get("created_at") if isinstance(value, dict) else None for value in values]
    if not all(isinstance(date, str) for date in dates):
        return values
    order = sorted(range(len(values)), key=lambda index: str(dates[index]), reverse=True)
    return [values[index] for index in order]


def _distinct(values: list[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _distinct_snapshots(snapshots: list[SnapshotReference]) -> tuple[SnapshotReference, ...]:
    """Drop what is empty, and of several references to one id keep the one that says most."""
    kept: dict[str, SnapshotReference] = {}
    for index, snapshot in enumerate(snapshots):
        if snapshot.snapshot_id is None and snapshot.content is None:
            continue
        key = snapshot.snapshot_id or f"embedded {index}"
        earlier = kept.get(key)
        kept[key] = (
            snapshot
            if earlier is None
            else SnapshotReference(
                snapshot.snapshot_id, earlier.md5 or snapshot.md5, earlier.content or snapshot.content
            )
        )
    return tuple(kept.values())
