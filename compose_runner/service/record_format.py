"""How a record of the log is written: JSON that begins with its ``message``, and with a sentence for a person.

Compose shows a job's log as lines of whole records. Programs find a record by its ``message``, which for the events of
:mod:`compose_runner.service.log_events` is their name; ``sentence``, right after it, says the same in words.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from compose_runner.service.log_events import SENTENCES

ORDER = ("message", "sentence", "level", "timestamp")


class RecordFormatter(LambdaPowertoolsFormatter):
    """Powertools' formatter with another order of keys.

    Parameters
    ----------
    **options : object
        Those of :class:`aws_lambda_powertools.logging.formatter.LambdaPowertoolsFormatter`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(log_record_order=list(ORDER), **options)

    def serialize(self, log: Any) -> str:
        """Write the keys of a record, its message first.

        Parameters
        ----------
        log : dict
            The record's keys.
        """
        message = log.get("message")
        template = SENTENCES.get(message) if isinstance(message, str) else None
        sentence = {} if template is None or "sentence" in log else {"sentence": template.format_map(_Known(log))}
        first = {"message": message, **sentence}
        text: str = super().serialize({**first, **{name: log[name] for name in log if name not in first}})
        return text


class _Known(dict[str, Any]):
    """Fields of a record; one that it does not have is an empty text in its sentence."""

    def __missing__(self, name: str) -> str:
        return ""
