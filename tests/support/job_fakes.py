"""The ports of the jobs' logic in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compose_runner.service.errors import AwsServiceError, JobNameTakenError, RequestError
from compose_runner.service.ports import Execution, LogPage, StoredArtifact, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STARTED = datetime(2026, 6, 1, 10, tzinfo=UTC)


@dataclass
class ExecutionsInMemory:
    """A Step Functions that keeps executions by name."""

    kept: dict[str, Execution] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: AwsServiceError | None = None
    appears_while_starting: Execution | None = None
    cannot_count: AwsServiceError | None = None

    def job_id(self, name: str) -> str:
        return f"id-of-{name}"

    def parse_name(self, job_id: str) -> str:
        if not job_id.startswith("id-of-"):
            raise RequestError("job_id: it is not one of ours")
        return job_id.removeprefix("id-of-")

    def start(self, name: str, document: dict[str, Any]) -> str:
        if self.refuses is not None:
            raise self.refuses
        if self.appears_while_starting is not None:
            self.kept[name] = self.appears_while_starting
        if name in self.kept:
            raise JobNameTakenError(name, "taken")
        self.documents[name] = document
        self.kept[name] = Execution(self.job_id(name), name, "RUNNING", STARTED, input=repr(document))
        return self.job_id(name)

    def find(self, job_id: str) -> Execution | None:
        return self.kept.get(self.parse_name(job_id))

    def running(self, most: int) -> int:
        if self.cannot_count is not None:
            raise self.cannot_count
        return min(most, sum(execution.status == "RUNNING" for execution in self.kept.values()))

    def stop(self, job_id: str, reason: str) -> None:
        name = self.parse_name(job_id)
        self.kept[name] = Execution(job_id, name, "ABORTED", STARTED, STARTED, error="Cancelled", cause=reason)


@dataclass
class KeysInMemory:
    """A store of keys."""

    kept: dict[str, dict[str, str]] = field(default_factory=dict)

    def keep(self, artifact_prefix: str, keys: dict[str, str]) -> None:
        if artifact_prefix in self.kept:
            raise JobNameTakenError(artifact_prefix, "taken")
        self.kept[artifact_prefix] = dict(keys)

    def forget(self, artifact_prefix: str, names: Iterable[str]) -> None:
        self.kept.pop(artifact_prefix, None)


@dataclass
class SpecificationsInMemory:
    """A Compose that answers one document, or fails."""

    answer: Any = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def meta_analysis(self, meta_analysis_id: str, environment: str) -> Any:
        self.asked.append((meta_analysis_id, environment))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class ArtifactsInMemory:
    """A bucket."""

    documents: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def document(self, key: str) -> dict[str, Any] | None:
        found = self.documents.get(key)
        if isinstance(found, Exception):
            raise found
        return found

    def below(self, folder: str) -> Iterator[StoredArtifact]:
        for key in self.keys:
            if key.startswith(f"{folder}/"):
                yield StoredArtifact(key, 1, STARTED)

    def address(self, key: str, expires_in: int) -> str:
        return f"https://bucket.example/{key}?seconds={expires_in}"


@dataclass
class RecordsInMemory:
    """A log that gives so many records a page, and an empty page before each, as CloudWatch may."""

    records: list[tuple[int, str]] = field(default_factory=list)
    page_size: int = 2
    asked: list[Window] = field(default_factory=list)
    written: list[tuple[str, str]] = field(default_factory=list)

    def write(self, artifact_prefix: str, text: str) -> None:
        self.written.append((artifact_prefix, text))

    def page(self, artifact_prefix: str, window: Window) -> LogPage:
        self.asked.append(window)
        inside = [
            (time, text)
            for time, text in sorted(self.records, key=lambda record: record[0])
            if (window.start is None or time >= window.start) and (window.end is None or time <= window.end)
        ]
        position = int(window.token or 0)
        if position % 2 == 0:
            return LogPage([], str(position + 1) if inside else None)
        first = position // 2 * self.page_size
        more = first + self.page_size < len(inside)
        return LogPage(inside[first : first + self.page_size], str(position + 1) if more else None)
