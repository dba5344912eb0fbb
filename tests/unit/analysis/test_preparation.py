"""What a job begins with: where maps of its bundle may come from, and what is said when memory is short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from compose_runner.analysis.fetch.reach import Reach
from compose_runner.analysis.preparation import _inputs, translating_errors
from compose_runner.commands.run import run
from compose_runner.compose.addresses import ALLOWED_HOSTS_VARIABLE, AllowedHosts
from compose_runner.compose.environments import environment_named
from compose_runner.errors import AnalysisError
from compose_runner.specification.parsing import parse_specification
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    studyset = synthetic.random_studyset(n_studies=1)
    path = tmp_path / "bundle.json"
    parts = {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": synthetic.specification(),
    }
    path.write_text(json.dumps(parts))
    return path


def test_hosts_that_are_told_and_those_of_the_environment_are_allowed_to_a_bundle(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_HOSTS_VARIABLE, "images.lab:8000")
    inputs = _inputs(None, environment_named("production"), bundle, lambda _: None, ["127.0.0.1:9412"])
    hosts = AllowedHosts(frozenset({("images.lab", 8000), ("127.0.0.1", 9412)}))
    assert inputs.reach == Reach(bundle.parent, hosts)


def test_a_bundle_that_was_sent_may_name_no_file_no_host_and_no_snapshot(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_HOSTS_VARIABLE, "images.lab:8000")
    sent = json.loads(bundle.read_text())
    sent["meta_analysis"] = {"id": "another", "name": "Pain", "snapshots": {"studyset": [{"id": "snap", "md5": "m"}]}}
    bundle.write_text(json.dumps(sent))

    inputs = _inputs("label", environment_named("production"), bundle, lambda _: None, None)

    assert inputs.reach == Reach()
    assert not inputs.snapshots
    assert (inputs.meta_analysis_id, inputs.name) == ("label", "Pain")
    assert str(bundle.parent) not in str(inputs.sources)


def test_a_host_that_is_none_is_named(bundle: Path) -> None:
    with pytest.raises(AnalysisError, match=r"'http://127\.0\.0\.1' is no host"):
        _inputs(None, environment_named("production"), bundle, lambda _: None, ["http://127.0.0.1"])


def test_hosts_are_allowed_to_bundles_only() -> None:
    result = CliRunner().invoke(run, ["abc", "--allow-host", "127.0.0.1:9412"])
    assert result.exit_code == 2
    assert "--allow-host is for the maps of a bundle" in result.output


@pytest.mark.parametrize(
    ("estimator", "args", "corrector_args", "said"),
    [
        (
            "MKDADensity",
            {"kernel__r": 40},
            {"n_iters": 1_000_000},
            "kernel__r 40 (NiMARE's default is 10) and n_iters 1,000,000 (NiMARE's default is 5,000)",
        ),
        ("ALE", {"n_iters": 10_000_000}, None, "What asks for so much is n_iters 10,000,000"),
        ("ALE", {"n_iters": 5000}, None, "What asks for so much is the number of studies and foci."),
        ("SCALE", {"xyz": [[0, 0, 0]], "n_iters": 5001}, None, "n_iters 5,001"),
    ],
)
def test_memory_that_is_short_is_explained_by_what_asks_for_it(
    estimator: str, args: dict[str, Any], corrector_args: dict[str, Any] | None, said: str
) -> None:
    options: dict[str, Any] = {}
    if corrector_args is not None:
        options = {"corrector": "FWECorrector", "corrector_args": {"method": "montecarlo", **corrector_args}}
    specification = parse_specification(synthetic.specification(estimator, args, **options))
    with pytest.raises(AnalysisError) as raised, translating_errors(specification):
        raise MemoryError
    assert said in str(raised.value)
    assert "cores" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        IndexError("index 1 is out of bounds for axis 0 with size 0"),
        KeyError("z"),
        ValueError("operands could not be broadcast together with shapes (3,) (4,)"),
        AttributeError("'NoneType' object has no attribute 'copy'"),
        ZeroDivisionError("division by zero"),
        RuntimeError(""),
    ],
)
def test_what_python_says_of_a_failure_within_nimare_is_not_said_to_a_researcher(error: Exception) -> None:
    specification = parse_specification(synthetic.specification("ALE"))
    with pytest.raises(AnalysisError) as raised, translating_errors(specification):
        raise error
    said = str(raised.value)
    assert said.startswith("ALE could not be computed from these inputs")
    assert said.endswith(".")
    assert not str(error) or str(error) not in said
    assert raised.value.__cause__ is error


def test_a_reason_that_nimare_states_is_said() -> None:
    specification = parse_specification(synthetic.specification("ALE"))
    with (
        pytest.raises(AnalysisError, match="ALE could not be computed: Only one study remains"),
        translating_errors(specification),
    ):
        raise ValueError("Only one study remains.")
