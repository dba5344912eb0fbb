"""What a result directory knows about its upload to Compose: ``publish.json``.

The record is written before and right after the one request that makes a result, so that whatever happens to the
process, a repetition knows whether there is a result already.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from compose_runner.analysis.write.result_record import PUBLISH_RECORD
from compose_runner.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compose_runner.analysis.write.result_directory import ResultDirectory

RECORD_FILENAME = PUBLISH_RECORD
BUNDLE_FILENAME = "bundle.json.gz"


class PublishState(StrEnum):
    """How far an upload is.

    ``CREATING`` means that the request was sent and its answer is not known: there may be a result.
    """

    PREPARED = "prepared"
    CREATING = "creating"
    CREATED = "created"
    UPLOADED = "uploaded"


class PublishRecord(BaseModel):
    """The state of one result directory's upload; no key is ever part of it.

    Parameters
    ----------
    meta_analysis_id : str
        Compose's id of the meta-analysis.
    environment : str
        Name of the environment that it belongs to.
    inputs : dict
        Checksums of the documents that were computed from.
    state : PublishState
        How far the upload is.
    earlier_results : list of str or None
        Results that Compose listed just before ours was made; None when it could not be asked.
    result_id : str or None
        Compose's id of our result.
    created, uploaded : datetime or None
        When the result was made, and when it had all its files.
    sent : dict
        For studyset and annotation, which snapshot was linked, or ``"whole"``.
    files : dict
        Names of the files that were sent, by field.
    """

    meta_analysis_id: str
    environment: str
    inputs: dict[str, str]
    state: PublishState = PublishState.PREPARED
    earlier_results: list[str] | None = None
    result_id: str | None = None
    created: datetime | None = None
    uploaded: datetime | None = None
    sent: dict[str, str] = Field(default_factory=dict)
    files: dict[str, list[str]] = Field(default_factory=dict)

    def write(self, directory: ResultDirectory) -> None:
        """Keep the record, whole or not at all."""
        content = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
        directory.write(RECORD_FILENAME, content.encode() + b"\n")

    def moved_to(
        self,
        state: PublishState,
        directory: ResultDirectory,
        on_change: Callable[[Path], object] | None = None,
        **changes: Any,
    ) -> PublishRecord:
        """Make and keep the record's next state.

        Parameters
        ----------
        state : PublishState
            The next state.
        directory : ResultDirectory
            Where the record is kept.
        on_change : callable, optional
            Called with the directory's path when the record is there; what it raises ends the upload at this state.
        **changes : object
            Further fields that change.
        """
        record = self.model_copy(update={"state": state, **changes})
        record.write(directory)
        if on_change is not None:
            on_change(directory.path)
        return record


def read_record(directory: ResultDirectory) -> PublishRecord:
    """Read the record of a result directory.

    Parameters
    ----------
    directory : ResultDirectory
        Where a run wrote its result.

    Raises
    ------
    PublishError
        There is none, or it is not readable.
    """
    record_path = directory.path / RECORD_FILENAME
    try:
        return PublishRecord.model_validate_json(record_path.read_bytes())
    except FileNotFoundError as error:
        raise PublishError(
            f"{directory.path} cannot be published: it has no {RECORD_FILENAME}. {_why_no_record(directory)}"
        ) from error
    except (OSError, ValidationError) as error:
        raise PublishError(f"{record_path} cannot be read, so it is not known what was uploaded") from error


def _why_no_record(directory: ResultDirectory) -> str:
    metadata = directory.read_metadata()
    if metadata is None:
        return "There is no result of compose-runner in it (no metadata.json)."
    if metadata.get("meta_analysis_id") is None:
        return (
            "It was computed from a bundle that names no meta-analysis of Compose, so there is no page to publish it "
            "on. Run the bundle again with the id of a meta-analysis: compose-run META_ANALYSIS_ID --bundle BUNDLE."
        )
    return (
        "An earlier version of compose-runner made it, which kept nothing to publish from when it was asked not to "
        "upload. Run the meta-analysis again."
    )


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
