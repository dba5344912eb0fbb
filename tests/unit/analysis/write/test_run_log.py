"""``run.log`` has everything that was said, and a person gets what matters once, in this package's words."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import pytest

from compose_runner.analysis.write import run_log
from compose_runner.analysis.write.result_directory import ResultDirectory

if TYPE_CHECKING:
    from pathlib import Path

MIXED = "Coordinates dataset contains both positive and negative z_stats. The algorithms …"


@pytest.fixture(autouse=True)
def _records(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_warning_that_matters_becomes_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with run_log.recording(ResultDirectory(tmp_path)) as kept:
        for _ in range(3):
            logging.getLogger("py.warnings").warning("x.py:3: UserWarning: %s", MIXED)
    said = [record for record in caplog.records if record.name == run_log.__name__]
    assert len(said) == 1
    assert "direction" in said[0].getMessage()
    assert kept.text().count(MIXED) == 3


def test_records_of_libraries_are_kept_with_time_level_and_name(tmp_path: Path) -> None:
    with run_log.recording(ResultDirectory(tmp_path)) as kept:
        logging.getLogger("nimare.workflows").info("Performing \x1b[31m…")
    assert kept.text().endswith(" INFO nimare.workflows: Performing \\x1b[31m…\n")


def test_a_key_is_not_kept(tmp_path: Path) -> None:
    with run_log.recording(ResultDirectory(tmp_path), ("s3cret", None, "")) as kept:
        logging.getLogger("urllib3").warning("sent s3cret")
    assert "s3cret" not in kept.text()


def test_a_computation_that_fails_leaves_its_log_and_an_earlier_result_keeps_its_own(tmp_path: Path) -> None:
    def fail(computing: bool = True) -> None:
        with run_log.recording(ResultDirectory(tmp_path)) as kept:
            kept.computing = computing
            logging.getLogger("nimare").info("on the way")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail(computing=False)
    assert not (tmp_path / "run.log").exists()
    with pytest.raises(ValueError, match="no"):
        fail()
    assert "ValueError: no" in (tmp_path / "run.log").read_text()
    assert "on the way" in (tmp_path / "run.log").read_text()
    (tmp_path / "run.log").unlink()
    (tmp_path / "metadata.json").write_text("{}")
    with pytest.raises(ValueError, match="no"):
        fail()
    assert not (tmp_path / "run.log").exists()


def test_the_memory_that_records_take_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_RECORDS", 2)
    with run_log.recording(ResultDirectory(tmp_path)) as kept:
        for number in range(5):
            logging.getLogger("nimare").info("%d", number)
    assert kept.text().splitlines()[-1] == "3 more records were not kept."


def test_no_handler_stays_behind(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    with warnings.catch_warnings(), run_log.recording(ResultDirectory(tmp_path)):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before


def test_a_text_of_the_user_with_the_same_name_stays_and_costs_the_run_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("mine")
    directory = ResultDirectory(tmp_path)
    with directory.claimed(overwrite=True):
        directory.write_beside({"README.txt": "ours", "run.log": "ours"})
    assert (tmp_path / "README.txt").read_text() == "mine"
    assert [artifact["filename"] for artifact in directory.artifacts()] == ["run.log"]
    (tmp_path / "run.log").write_text("changed by its user")
    with ResultDirectory(tmp_path).claimed():
        directory.clear()
    assert (tmp_path / "run.log").read_text() == "changed by its user"
