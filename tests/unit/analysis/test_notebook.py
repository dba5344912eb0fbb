"""A card and a bar show what documents say as text, and no more of it than a cell has space for."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.notebook import NotebookProgress, RunOutcome, in_notebook, notebook_progress
from compose_runner.progress import ProgressRecord, Stage

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAYLOAD = "<script>alert(1)</script>\x1b[31m"


def outcome(folder: Path, **metadata: Any) -> RunOutcome:
    (folder / "metadata.json").write_text(json.dumps({"counts": {"first": {"studies": 2}}, **metadata}))
    result: Any = SimpleNamespace(maps={})
    return RunOutcome.of("https://compose.example/meta-analyses/x", result, folder)


def test_a_card_links_the_page_and_the_report_and_shows_texts_as_text(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    (tmp_path / "clusters.tsv").write_text(f"map\tcluster\tx\ty\tz\tlabel\nz\t1\t1\t2\t3\t{PAYLOAD}\n")
    audit = [{"severity": "warning", "message": PAYLOAD}]
    card = outcome(tmp_path, name=PAYLOAD, audit=audit)._repr_html_()
    assert card.count("&lt;script&gt;") == 3
    assert "<script" not in card
    assert "\x1b" not in card
    assert 'href="https://compose.example/meta-analyses/x"' in card
    assert f'href="{(tmp_path / "report.html").resolve().as_uri()}"' in card


def test_the_outcome_unpacks_as_url_and_result(tmp_path: Path) -> None:
    url, result = made = outcome(tmp_path)
    assert (made.url, made.result) == (url, result)
    assert made.result_dir == tmp_path.resolve()


def test_the_outcome_as_text_is_the_summary_without_control_characters(tmp_path: Path) -> None:
    text = repr(outcome(tmp_path, name=PAYLOAD))
    assert "\x1b" not in text
    assert text.splitlines()[1] == "Done, with 2 studies. No table of clusters was made."


def test_a_bar_shows_the_stage_its_steps_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    handle = SimpleNamespace(update=lambda shown: drawn.append(shown._repr_html_()))
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: handle)
    bar = NotebookProgress()
    bar(ProgressRecord(stage=Stage.CORRECT))
    bar(ProgressRecord(stage=Stage.CORRECT, completed=100, total=100, seconds_left=20))
    bar.finish()
    assert "<progress aria-label=" in drawn[0]
    assert 'value="100" max="100"' in drawn[1]
    assert "about 20 s left" in drawn[1]
    assert drawn[2] == ""


def test_a_program_that_is_no_notebook_gets_no_bar() -> None:
    assert not in_notebook()
    assert notebook_progress() is None
