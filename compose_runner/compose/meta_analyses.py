"""Ask Neurosynth Compose for a specification while a client waits."""

from __future__ import annotations

import contextvars
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from compose_runner.compose import http_client
from compose_runner.compose.environments import environment_named
from compose_runner.errors import ServiceUnavailableError

# the real client gives up on submit after 30 s, of which a start and Step Functions need some
DEADLINE_SECONDS = 8.0
CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
# a function has less memory than a task; a meta-analysis has some kB, or some MB with an old snapshot of its studyset
MOST_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ComposeSpecifications:
    """Fetches meta-analyses within a deadline that neither retries nor a slow answer can exceed.

    Parameters
    ----------
    deadline_seconds : float
        How long a client can be kept waiting, in seconds.
    """

    deadline_seconds: float = DEADLINE_SECONDS

    def meta_analysis(self, meta_analysis_id: str, environment: str) -> Any:
        """Fetch the nested document; see :class:`compose_runner.service.ports.Specifications`."""
        document = f"meta-analysis {meta_analysis_id}"
        compose_api = environment_named(environment).compose_api
        address = f"{compose_api}/meta-analyses/{quote(meta_analysis_id, safe='')}"
        answers: list[Any] = []
        errors: list[Exception] = []

        def fetch() -> None:
            try:
                answers.append(
                    http_client.get_json(
                        address,
                        document,
                        fields={"nested": "true"},
                        attempts=1,
                        connect_seconds=CONNECT_SECONDS,
                        read_seconds=READ_SECONDS,
                        limits=http_client.Limits(MOST_BYTES, self.deadline_seconds),
                    )
                )
            except Exception as error:
                errors.append(error)

        # time-outs of sockets bound each wait, not their sum: a server that drips bytes could hold a request until
        # Lambda ends it, and then no job would be started
        worker = threading.Thread(target=contextvars.copy_context().run, args=(fetch,), daemon=True)
        worker.start()
        worker.join(self.deadline_seconds)
        if errors:
            raise errors[0]
        if not answers:
            raise ServiceUnavailableError(document, address, f"no answer within {self.deadline_seconds:g} s")
        return answers[0]
