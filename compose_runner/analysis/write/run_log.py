"""``run.log``: every record and every Python warning of a run, and the few of them that a person has to know.

NiMARE and the libraries below it write for those who develop them: warnings with a line of their source, one and the
same sentence for each map. They are kept in the result directory. What of them changes how a result is to be read is
said once, in a sentence of this package.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compose_runner.escaping import visible
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compose_runner.analysis.write.result_directory import ResultDirectory

log = logging.getLogger(__name__)

RUN_LOG = "run.log"
# where Python's warnings of a computation go, at the level of debugging, so that no other log has them
PYTHON_WARNINGS = "compose_runner.analysis.compute.patches.warnings"
# a library that warns at every voxel must not fill the memory
MOST_RECORDS = 20_000

TRANSLATIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile("contains both positive and negative z_stats"),
        "The studies report increases and decreases (positive and negative z). The method takes both alike: a cluster "
        "says where studies report anything, not in which direction.",
    ),
    (
        re.compile("Deriving 'z' from a p map"),
        "Some z maps were made from p maps, which have no sign: a decrease counts as an increase there.",
    ),
    (
        re.compile(r"Converting to '[^']*' from \d+ group sample sizes"),
        "Effect sizes were computed from t maps as of one sample (d = t / √n). For a comparison of two groups of "
        "people they are wrong.",
    ),
    (
        re.compile("peaks falls outside of the cluster body"),
        "Some peaks lie outside the body of their cluster; the tables name the nearest voxel inside it.",
    ),
)
"""What a record looks for, and the sentence that a person reads instead."""


class RunLog(logging.Handler):
    """Collects the records of a run.

    Parameters
    ----------
    secrets : iterable of str or None
        Keys; whatever record holds one is kept without it.

    Attributes
    ----------
    lines : list of str
        One for each record; a record of several lines is one.
    computing : bool
        Whether the inputs were usable. What is wrong with those is all in the error, and leaves no file.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        super().__init__(logging.DEBUG)
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self.lines: list[str] = []
        self.computing = False
        self._secrets = [secret for secret in secrets if secret]
        self._left_out = 0
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, and say what a person has to know of it, once in a run."""
        if len(self.lines) < MOST_RECORDS:
            line = visible(self.format(record), lines=True)
            for secret in self._secrets:
                line = line.replace(secret, "<key>")
            self.lines.append(line)
        else:
            self._left_out += 1
        if record.name.startswith("compose_runner") and record.name != PYTHON_WARNINGS:
            return
        text = record.getMessage()
        for pattern, sentence in TRANSLATIONS:
            if sentence not in self._said and pattern.search(text):
                self._said.add(sentence)
                log.warning(sentence)

    def text(self) -> str:
        """Content of ``run.log``."""
        more = [f"{self._left_out} more records were not kept."] if self._left_out else []
        return "".join(f"{line}\n" for line in (*self.lines, *more))


@contextmanager
def recording(directory: ResultDirectory, secrets: Iterable[str | None] = ()) -> Iterator[RunLog]:
    """Collect the records of this process; a computation that fails leaves them and the traceback in ``run.log``.

    Parameters
    ----------
    directory : ResultDirectory
        Of the run, which has claimed it. An earlier result that is still there keeps its own log.
    secrets : iterable of str or None
        Keys of this run.

    Yields
    ------
    RunLog
        What was collected so far.
    """
    root, run_log = logging.getLogger(), RunLog(secrets)
    root.addHandler(run_log)
    kept_apart = logging.getLogger(PYTHON_WARNINGS)
    before = kept_apart.level, kept_apart.propagate
    kept_apart.addHandler(run_log)
    kept_apart.setLevel(logging.DEBUG)
    kept_apart.propagate = False
    try:
        yield run_log
    except Exception:
        if run_log.computing and not (directory.path / METADATA_FILENAME).exists():
            failed = log.makeRecord(log.name, logging.ERROR, __file__, 0, "The run failed.", (), sys.exc_info())
            run_log.handle(failed)  # for the file alone: a person gets the error's own text
            directory.write_beside({RUN_LOG: run_log.text()})
        raise
    finally:
        root.removeHandler(run_log)
        kept_apart.removeHandler(run_log)
        kept_apart.setLevel(before[0])
        kept_apart.propagate = before[1]
