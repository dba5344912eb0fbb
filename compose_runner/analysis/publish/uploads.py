"""The two requests that put a result on Compose: one makes it, the other gives it its files.

The key travels in a header and nowhere else: not to another host, and in no error.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.util.retry import Retry

from compose_runner import __version__
from compose_runner.analysis.compute.coverage import COVERAGE_FILENAME
from compose_runner.analysis.publish.cluster_tables import ENDING, selected_table, table_to_send_again
from compose_runner.analysis.publish.record import BUNDLE_FILENAME, RECORD_FILENAME
from compose_runner.analysis.write.result_record import CONTRIBUTIONS_FILENAME, STUDIES_FILENAME
from compose_runner.analysis.write.tables import CLUSTERS_FILENAME
from compose_runner.compose.document_shapes import Entity, identifier
from compose_runner.compose.document_sources import DocumentReader
from compose_runner.compose.http_client import CONNECT_SECONDS, RETRYABLE, explain_error, pool, retries
from compose_runner.compose.json_documents import strict_json
from compose_runner.errors import ComposeRunnerError, PublishError, ServiceUnavailableError, UploadKeyError
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.analysis.write.result_directory import ResultDirectory
    from compose_runner.compose.environments import Environment

UPLOAD_KEY_HEADER = "Compose-Upload-Key"
RESULTS = "meta-analysis-results"
BOILERPLATE_FILENAME = "boilerplate.txt"
REFERENCES_FILENAME = "references.bib"

# tables that are not NiMARE's: Compose would take the first one for a table of contributions
_OWN_TABLES = frozenset({COVERAGE_FILENAME, CLUSTERS_FILENAME, STUDIES_FILENAME, CONTRIBUTIONS_FILENAME})
_CREATE_SECONDS = 180.0  # Compose makes the collection on NeuroVault before it answers
_UPLOAD_SECONDS = 600.0
_WORDS_SHOWN = 300

Part = tuple[str, str | tuple[str, bytes, str]]


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
            body=strict_json(body).encode(),
            headers={UPLOAD_KEY_HEADER: upload_key, "Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=_CREATE_SECONDS),
            # a connection that was never made sent nothing, so only that is tried again
            retries=Retry(total=None, connect=3, read=False, redirect=0, status=0, other=0, backoff_factor=0.5),
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(what, address, f"no answer ({explain_error(error)})") from None
    _refuse_errors(answer, what, address, upload_key)
    try:
        result_id = identifier(json.loads(answer.data))
    except ValueError:
        result_id = None
    if result_id is None:
        raise ServiceUnavailableError(what, address, "Compose took it, but its answer names no result")
    return result_id


def upload_parts(directory: ResultDirectory) -> list[Part]:
    """Collect what Compose takes of a result directory, under the names of its fields: only what the run wrote.

    ``statistical_maps`` are all maps but label maps, ``cluster_tables`` those tables of clusters that have a row (the
    one that Compose takes under the name that it expects as well), ``diagnostic_tables`` NiMARE's other tables, those
    of the same map first; texts are left out when they are empty, since an empty one would
    replace what Compose has.

    Parameters
    ----------
    directory : ResultDirectory
        Where a run wrote its artifacts.

    Raises
    ------
    PublishError
        The run did not finish, there is no map, or a file is missing or is not as the run wrote it.
    """
    if (metadata := directory.read_metadata()) is None:
        raise PublishError(
            f"{directory.path} cannot be published: the run that made it did not finish (there is no "
            f"{METADATA_FILENAME})."
        )
    if changed := [name for name in directory.changed() if _is_sent(name)]:
        raise PublishError(
            f"{directory.path} cannot be published: these files are missing, or are not as the run wrote them: "
            f"{', '.join(changed)}. Run the meta-analysis again, into another directory."
        )
    written = [directory.path / artifact["filename"] for artifact in directory.artifacts()]
    parts: list[Part] = [
        ("statistical_maps", (path.name, path.read_bytes(), "application/gzip"))
        for path in written
        if path.parent == directory.path and path.name.endswith(".nii.gz") and not path.name.startswith("label_")
    ]
    parts += _tables([path for path in written if path.parent == directory.path and path.suffix == ".tsv"], metadata)
    for field, name in (
        ("method_description", BOILERPLATE_FILENAME),
        ("method_references", REFERENCES_FILENAME),
    ):
        path = directory.path / name
        text = path.read_text(encoding="utf-8") if path in written else ""
        if text.strip():
            parts.append((field, text))
    if not any(field == "statistical_maps" for field, _ in parts):
        raise PublishError("There is no statistical map to publish: the run that made this directory did not finish.")
    return parts


def _tables(paths: Sequence[Path], metadata: Mapping[str, Any]) -> list[Part]:
    """Choose NiMARE's tables; of contributions, Compose keeps those that come first."""
    parts = {
        path.name: (path.name, path.read_bytes(), "text/tab-separated-values")
        for path in paths
        if path.name not in _OWN_TABLES
    }
    # more than the names of the columns
    clusters = [name for name in parts if name.endswith("clust.tsv") and len(parts[name][1].splitlines()) > 1]
    described = [str(one.get("target_image")) for one in metadata.get("diagnostics") or () if isinstance(one, dict)]
    again = table_to_send_again(clusters, described, metadata.get("specification"))
    sent: list[Part] = [("cluster_tables", parts[name]) for name in clusters]
    if again is not None:
        sent.append(("cluster_tables", (again[1], *parts[again[0]][1:])))
    taken = again[0] if again is not None else selected_table(clusters, metadata.get("specification"))
    first = [taken.removesuffix(ENDING)] if taken is not None else []

    def rank(name: str) -> tuple[int, bool, str]:
        targets = [*first, *described]
        found = next(
            (index for index, target in enumerate(targets) if name.startswith(f"{target}_diag-")), len(targets)
        )
        return found, name.endswith("_tail-negative.tsv"), name

    diagnostics = sorted((name for name in parts if not name.endswith("clust.tsv")), key=rank)
    return sent + [("diagnostic_tables", parts[name]) for name in diagnostics]


def _is_sent(name: str) -> bool:
    """Whether an upload sends a file, or goes by what is in it."""
    return name.endswith((".nii.gz", ".tsv")) or name in (
        BOILERPLATE_FILENAME,
        REFERENCES_FILENAME,
        BUNDLE_FILENAME,
        RECORD_FILENAME,
    )


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
        raise ServiceUnavailableError(what, address, f"no answer ({explain_error(error)})") from None
    _refuse_errors(answer, what, address, upload_key)


def _refuse_errors(answer: urllib3.BaseHTTPResponse, what: str, address: str, upload_key: str) -> None:
    """Turn an answer other than success into the error that it means."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    message = _message(answer.data.replace(upload_key.encode(), b"***"))
    said = f"Compose answered {answer.status}" + (f": {message}" if message else "")
    error: ComposeRunnerError
    if answer.status in RETRYABLE or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        error = ServiceUnavailableError(what, address, said)
    elif answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        error = UploadKeyError(f"{what}: {said} ({address}). The upload key is not valid for this meta-analysis.")
    else:
        error = PublishError(f"{what}: {said} ({address}). What was computed is safe in the result directory.")
    raise error


def _message(body: bytes) -> str:
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
