"""The audit counts what goes into a result once, and says of odd inputs what is odd, in a researcher's words."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_runner.analysis import stages
from compose_runner.analysis.audit.auditing import audit as audit_of
from compose_runner.analysis.checking import check_inputs
from compose_runner.analysis.fetch.bundle_files import load_bundle
from compose_runner.analysis.job import run_job
from compose_runner.analysis.options import JobOptions
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.cli import compose_runner
from compose_runner.compose.environments import environment_named
from compose_runner.errors import ComposeRunnerError, ImageError, RefusedInputsError
from compose_runner.findings import Severity
from compose_runner.progress import Progress
from compose_runner.specification.parsing import parse_specification
from tests.support import odd_inputs, synthetic
from tests.support.odd_inputs import CASES, ID, good_bundle, image_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.analysis.audit.auditing import Audit

Document = dict[str, Any]

# words of Python and of NiMARE, which no message may speak
INSIDES = re.compile(
    r"NoneType|\b(None|True|False|nan|inf|index|indices|axis|dict|str|int|float)\b|Traceback|Error\b|object at"
    r"|Studyset|Dataset|DataFrame|ALEKernel|KernelTransformer|inputs_|\(fwhm=|<class"
)


def selected(bundle: Document, folder: Path) -> tuple[Any, Any]:
    path = folder / "bundle.json"
    path.write_text(json.dumps(bundle))
    inputs = load_bundle(path)
    specification = parse_specification(inputs.specification)
    directory = ResultDirectory(folder / "results")
    studies = stages.select_studies(inputs, specification, environment_named("local"), directory, Progress())
    return studies, specification


def audited(bundle: Document, folder: Path) -> Audit:
    studies, _ = selected(bundle, folder)
    return audit_of(studies.inputs)


def found(bundle: Document, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The account and the findings, as ``compose-runner check`` gives them."""
    path = folder / "bundle.json"
    path.write_text(json.dumps(bundle))
    about = check_inputs(None, environment="local", bundle=path).about
    return about.get("accounting", {}), about["audit"]


def assert_adds_up(accounting: dict[str, Any]) -> None:
    for group in accounting.values():
        stages = [group[stage] for stage in ("studyset", "selected") if stage in group]
        with_data = group.get("with_foci") or group["with_images"]
        assert stages[0]["studies"] >= stages[1]["studies"] >= with_data["studies"] >= group["used"]["studies"]
        assert stages[0]["analyses"] >= stages[1]["analyses"] >= with_data["analyses"]
        if "images" in group:
            images = group["images"]
            assert images["listed"] == images["left_out"] + images["used"]
            continue
        foci = group["foci"]
        assert foci["listed"] == foci["without_coordinates"] + foci["outside_mask"] + foci["used"]
        assert sum(foci["spaces"].values()) == foci["listed"] - foci["without_coordinates"]
        assert foci["converted"] + foci["taken_as_mni"] <= sum(foci["spaces"].values())
        assert foci["used"] == group["used"]["foci"]
        assert group["used"]["studies"] <= group["used"]["experiments"] <= max(foci["used"], 0)


@pytest.mark.parametrize("name", CASES)
def test_every_odd_input_is_named_in_words_that_a_researcher_knows(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    bundle = good_bundle()
    case.change(bundle)
    titles = {study["name"] for study in bundle["studyset"]["studies"]}

    accounting, findings = found(bundle, tmp_path)

    assert {one["code"] for one in findings} == case.codes
    for part, number in case.foci.items():
        assert accounting["first"]["foci"][part] == number, part
    assert_adds_up(accounting)
    messages = " ".join(one["message"] for one in findings)
    for words in case.says:
        assert words in messages
    for one in findings:
        assert not INSIDES.search(one["message"]), one["message"]
        assert "\n" not in one["message"]
        if name != "names_of_all_kinds":
            assert ID not in one["message"], one["message"]
            assert set(one["studies"]) <= titles
        if one["studies"]:
            assert one["studies"][0] in one["message"]


def test_gravest_findings_come_first_and_each_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = good_bundle(6)
    odd_inputs.points(bundle, 0)[0]["coordinates"] = None
    odd_inputs.points(bundle, 1)[0]["space"] = "TAL"
    studies, _ = selected(bundle, tmp_path)
    with caplog.at_level("INFO"):
        audit = stages.audit_inputs(studies)
        audit.log()
    messages = [record.getMessage() for record in caplog.records]
    for one in audit.findings:
        assert messages.count(one.message) == 1
        (record,) = [record for record in caplog.records if record.getMessage() == one.message]
        assert record.levelname == ("WARNING" if one.severity is Severity.WARNING else "INFO")
    severities = [one["severity"] for one in audit.findings.describe()]
    assert severities == sorted(severities, key=list(Severity).index)
    assert "The first group has 6 studies, 6 experiments, 35 foci." in messages


def test_what_gives_no_meaningful_result_is_refused_before_anything_computes(tmp_path: Path) -> None:
    bundle = good_bundle()
    CASES["sizes_missing"].change(bundle)
    studies, _ = selected(bundle, tmp_path)
    with pytest.raises(
        RefusedInputsError, match=r'ALE needs the sample size .* "Pain and the insula, part 0"'
    ) as error:
        stages.audit_inputs(studies).refuse()
    assert error.value.exit_code == 1


@cache
def fitted(estimator: str, change: Callable[[Document], object] | None, folder: Path) -> tuple[Any, Audit]:
    bundle = good_bundle(8, estimator, {})
    if change is not None:
        change(bundle)
    studies, specification = selected(bundle, folder)
    audit = audit_of(studies.inputs)
    result = stages.compute(
        studies, specification, JobOptions(1, 1), ResultDirectory(folder / "results"), Progress(), {}, audited=audit
    )
    return result, audit


def odd_foci(bundle: Document) -> None:
    """Foci that are none, that lie elsewhere, and that are written otherwise."""
    points = odd_inputs.points(bundle, 0)
    points[0]["coordinates"], points[1]["coordinates"] = None, [0, 0, 200]
    points[2] |= dict(zip("xyz", points[2].pop("coordinates"), strict=True))
    odd_inputs.place(bundle, 1, lambda _: [300, 0, 0])
    odd_inputs.place(bundle, 2, lambda _: [float("nan")] * 3)


def test_the_account_is_that_of_the_fitted_estimator(tmp_path: Path) -> None:
    result, audit = fitted("MKDADensity", odd_foci, tmp_path)

    group = audit.accounting["first"]
    assert group["foci"] | {"spaces": {}} == {
        "listed": 48,
        "without_coordinates": 7,
        "spaces": {},
        "converted": 0,
        "taken_as_mni": 0,
        "outside_mask": 7,
        "duplicates": 5,
        "used": 34,
    }
    assert group["used"] == {"studies": 6, "experiments": 6, "foci": 34, "participants": 145}
    assert group["with_foci"] == {"studies": 7, "analyses": 7}
    coordinates = result.estimator.inputs_["coordinates"]
    assert len(coordinates) == group["foci"]["used"] + group["foci"]["outside_mask"]
    assert coordinates["id"].nunique() == group["with_foci"]["studies"]
    assert "result-counts-differ" not in {one.code for one in audit.findings}


def _odd_groups(_: Path) -> Document:
    bundle = good_bundle(8, "MKDAChi2", {})
    bundle["specification"] = synthetic.two_groups("MKDAChi2")
    for note in bundle["annotation"]["notes"][::2]:
        note["note"]["included"] = False
    odd_foci(bundle)
    return bundle


def _odd_maps(folder: Path) -> Document:
    bundle = image_bundle(folder)
    Path(images(bundle, 0)[0]["filename"]).write_bytes(b"no map")
    return bundle


def _odd_group(_: Path) -> Document:
    bundle = good_bundle(8, "MKDADensity", {})
    odd_foci(bundle)
    return bundle


@pytest.mark.parametrize("make", [_odd_group, _odd_groups, _odd_maps])
def test_log_record_methods_text_and_check_have_the_same_numbers(
    make: Callable[[Path], Document], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(make(tmp_path)))
    with caplog.at_level("INFO"):
        metadata = run_job(None, bundle=path, result_dir=tmp_path / "results", n_cores=1, report=False).metadata
    text = (tmp_path / "results" / "boilerplate.txt").read_text()
    about = json.loads(CliRunner().invoke(compose_runner, ["check", str(path), "--json"]).stdout)
    table = CliRunner().invoke(compose_runner, ["check", str(path)]).stdout

    assert json.loads((tmp_path / "results" / "metadata.json").read_bytes())["accounting"] == metadata["accounting"]
    findings, after_fit = about.pop("audit"), ["images-left-out"] if make is _odd_maps else []
    assert all(one in metadata["audit"] for one in findings)
    assert [one["code"] for one in metadata["audit"] if one not in findings] == after_fit
    assert about == {name: metadata[name] for name in about}
    assert_adds_up(metadata["accounting"])
    number = len(metadata["accounting"])
    words = [line.split() for line in table.splitlines()]
    rows = {" ".join(line[:-number]): line[-number:] for line in words if len(line) > number}
    for place, (name, group) in enumerate(metadata["accounting"].items()):
        used, selected = group["used"], group["selected"]["studies"]
        assert selected > used["studies"]
        with_data = (group.get("with_foci") or group["with_images"])["studies"]
        foci = "" if "images" in group else f", {used['foci']} foci"
        said = f"{used['studies']} studies, {used['experiments']} experiments{foci}, of {selected} studies selected"
        data = "maps" if "images" in group else "foci"
        assert f"The {name} group has {said} and {with_data} with {data}." in caplog.text
        experiments = f"{used['experiments']} {'contrasts' if 'images' in group else 'experiments'}"
        people = "" if used["participants"] is None else f" with {used['participants']} participants"
        assert f"{experiments} from {used['studies']} studies{people}." in text
        assert f"{selected - used['studies']} further stud" in text
        assert rows["Studies selected"][place] == str(selected)
        assert rows["Studies used"][place] == str(used["studies"])
        assert rows["Experiments used"][place] == str(used["experiments"])
        if "foci" in group:
            assert f"{used['foci']} foci of {experiments}" in text
            assert rows["Foci listed"][place] == str(group["foci"]["listed"])
            assert rows["outside the brain mask"][place] == str(group["foci"]["outside_mask"])


def test_a_result_of_other_inputs_than_were_counted_is_a_finding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result, audit = fitted("MKDADensity", odd_foci, tmp_path)
    audit = copy.copy(audit)
    estimator = copy.copy(result.estimator)
    frame = estimator.inputs_["coordinates"]
    estimator.inputs_ = {**estimator.inputs_, "coordinates": frame[frame["study_id"] != f"{ID}-s5"]}
    audit.confirm(estimator)
    assert "result-counts-differ" in {one.code for one in audit.findings}
    assert "28 foci of the first group instead of 34" in caplog.text
    assert audit.counts["first"] == {"studies": 5, "analyses": 5, "foci": 28}
    (row,) = [row for row in audit.describe()["studies"] if row["id"] == f"{ID}-s5"]
    assert not row["in"]


def test_maps_of_good_foci_do_not_depend_on_what_is_left_out(tmp_path: Path) -> None:
    import numpy as np

    def without(bundle: Document) -> None:
        odd_foci(bundle)
        for study in bundle["studyset"]["studies"]:
            points = study["analyses"][0]["points"]
            for point in points:
                if "x" in point:
                    point["coordinates"] = [point.pop(name) for name in "xyz"]
            points[:] = [
                point for point in points if point["coordinates"] and point["coordinates"][0] == point["coordinates"][0]
            ]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, _ = fitted("MKDADensity", odd_foci, tmp_path / "a")
    other, _ = fitted("MKDADensity", without, tmp_path / "b")
    for name, values in one.maps.items():
        assert np.array_equal(values, other.maps[name]), name


def test_talairach_in_another_case_gives_the_maps_of_tal(tmp_path: Path) -> None:
    import numpy as np

    def labelled(label: str) -> Callable[[Document], None]:
        def change(bundle: Document) -> None:
            for point in odd_inputs.points(bundle, 0):
                point["space"] = label

        return change

    maps = []
    for label in ("TAL", "talairach", "MNI"):
        folder = tmp_path / label
        folder.mkdir()
        maps.append(fitted("MKDADensity", labelled(label), folder)[0].maps["stat"])
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_every_study_has_a_row_that_says_why_it_is_not_in(tmp_path: Path) -> None:
    bundle = good_bundle()
    odd_inputs.place(bundle, 0, lambda _: None)
    odd_inputs.place(bundle, 1, lambda _: [0, 0, 200])
    odd_inputs.points(bundle, 2).clear()
    bundle["studyset"]["studies"][3]["analyses"] = []
    bundle["annotation"]["notes"][4]["note"]["included"] = False
    rows = audited(bundle, tmp_path).describe()["studies"]
    assert [(row["in"], row["why"]) for row in rows[:6]] == [
        (False, "none of its foci has coordinates"),
        (False, "none of its foci lies within the brain mask"),
        (False, "it has no foci"),
        (False, "it has no analyses"),
        (False, "not selected"),
        (True, ""),
    ]
    assert rows[5] == {
        "id": f"{ID}-s5",
        "title": "Pain and the insula, part 5",
        "authors": "A. Author; B. Author",
        "year": "2020",
        "doi": "",
        "pmid": "",
        "group": "first",
        "in": True,
        "why": "",
        "contrasts": ["pain > rest"],
        "foci": 6,
        "foci_used": 6,
        "space": "MNI",
        "sample_size": 25,
    }


def test_a_reference_studyset_is_counted_by_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nimare.nimads import Studyset

    reference = synthetic.random_studyset(5, analyses_per_study=1, foci_per_analysis=4, seed=3)
    points = [point for study in reference["studies"] for point in study["analyses"][0]["points"]]
    points[0]["coordinates"], points[1]["coordinates"] = None, [0, 0, 200]
    points[2]["space"], points[3]["space"], points[4]["space"] = "TAL", "UNKNOWN", None
    monkeypatch.setattr(stages, "load_reference", lambda *_, **__: Studyset(reference, target=stages.TARGET_SPACE))
    bundle = good_bundle(6)
    bundle["specification"] = synthetic.specification("MKDAChi2", {}, database_studyset="neurosynth")

    audit = audited(bundle, tmp_path)

    assert audit.accounting["second"]["foci"] == {
        "listed": 20,
        "without_coordinates": 1,
        "spaces": {"MNI": 16, "TAL": 1, "UNKNOWN": 1, "no label": 1},
        "converted": 1,
        "taken_as_mni": 2,
        "outside_mask": 1,
        "duplicates": 0,
        "used": 18,
    }
    assert audit.accounting["second"]["studyset"] == audit.accounting["first"]["studyset"]
    assert audit.accounting["second"]["used"] == {"studies": 5, "experiments": 5, "foci": 18, "participants": None}
    assert_adds_up(audit.accounting)
    assert len(audit.describe()["studies"]) == 6


STUDY = ("studyset", "studies")
OF_POINT = ("coordinates", "space", "kind", "values", "x", "deactivation")
OF_STUDY = ("id", "name", "doi", "pmid", "year", "metadata", "analyses")
OF_ANALYSIS = ("id", "name", "metadata", "points", "images")
PLACES: list[tuple[Any, ...]] = [
    *((*STUDY, s, "analyses", 0, "points", p, key) for s in (0, 1) for p in (0, 1) for key in OF_POINT),
    *((*STUDY, s, key) for s in (0, 1, 2) for key in OF_STUDY),
    *((*STUDY, s, "analyses", 0, key) for s in (0, 1) for key in OF_ANALYSIS),
    *(("annotation", "notes", n, key) for n in (0, 1) for key in ("note", "analysis", "study")),
    *(("annotation", "notes", n, "note", "included") for n in (0, 1, 2)),
    ("annotation", "note_keys", "included"),
    ("annotation", "note_keys"),
    ("specification", "filter"),
    ("specification", "conditions"),
]
NUMBERS = (0, -1, 2.5, 1e308, float("nan"), float("inf"), 10**7)
TEXTS = ("", "TAL", "talairach", "MNI", "nan", "-3.5", "20 (10F)", "n=20", "true", "10.1/x", "\ud800", "{x}", "1e999")
LEAVES = st.one_of(
    st.sampled_from([None, True, False, *NUMBERS, *TEXTS, f"{ID}-s1", f"{ID}-a1"]),
    st.text(max_size=6),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
)
VALUES = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=4),
    st.lists(st.floats(-120, 120), min_size=3, max_size=3),
    st.dictionaries(st.sampled_from(["x", "y", "z", "sample_size", "N", "id", "coordinates"]), LEAVES, max_size=3),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=4),
    st.sampled_from(["ALE", "own sizes", "two groups"]),
    st.booleans(),
)
def test_counts_always_add_up_and_nothing_ends_in_a_traceback(
    tmp_path: Path, mutations: list[tuple[tuple[Any, ...], Any]], kind: str, repeat: bool
) -> None:
    bundle = good_bundle(4, args=odd_inputs.OWN_SIZES if kind == "own sizes" else None)
    if kind == "two groups":
        bundle["specification"] = synthetic.two_groups()
        bundle["annotation"]["notes"][3]["note"]["included"] = False
    if repeat:
        bundle["studyset"]["studies"].append(copy.deepcopy(bundle["studyset"]["studies"][0]))
    for path, value in mutations:
        place: Any = bundle
        try:
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    refused: ComposeRunnerError | None = None
    try:
        audit = audited(bundle, tmp_path)
    except ComposeRunnerError as error:
        refused = error
    if refused is not None:
        assert not re.search(r"NoneType|\baxis\b|Traceback", str(refused))
        return
    assert_adds_up(audit.accounting)
    about = json.loads(json.dumps(audit.describe(), allow_nan=False))
    assert len(about["studies"]) == audit.accounting["first"]["studyset"]["studies"]
    for one in about["audit"]:
        assert not re.search(r"NoneType|\baxis\b|\bindex\b|Traceback", one["message"])


# --- images -----------------------------------------------------------------------------------------------------------


def images(bundle: Document, study: int) -> list[Document]:
    found: list[Document] = bundle["studyset"]["studies"][study]["analyses"][0]["images"]
    return found


def rewritten(path: str, change: Callable[[Any], Any]) -> None:
    import nibabel
    import numpy as np

    image = nibabel.load(path)
    values = change(np.asarray(image.dataobj, dtype=np.float32))
    values, affine = values if isinstance(values, tuple) else (values, image.affine)
    nibabel.Nifti1Image(np.asarray(values, dtype=np.float32), affine).to_filename(path)


def test_good_maps_give_cause_to_say_nothing(tmp_path: Path) -> None:
    accounting, findings = found(image_bundle(tmp_path), tmp_path)
    assert findings == []
    assert accounting["first"]["images"] == {"listed": 6, "left_out": 0, "used": 6}
    assert accounting["first"]["used"] == {"studies": 6, "experiments": 6, "foci": 0, "participants": 135}
    assert_adds_up(accounting)


def test_p_maps_alone_have_no_sign(tmp_path: Path) -> None:
    _, findings = found(image_bundle(tmp_path, ("p",)), tmp_path)
    assert [(one["code"], one["count"]) for one in findings] == [("images-p-without-sign", 6)]


def test_p_maps_that_are_logarithms_are_left_out(tmp_path: Path) -> None:
    import numpy as np

    bundle = image_bundle(tmp_path, ("p",))
    rewritten(images(bundle, 0)[0]["filename"], lambda p: -np.log10(p) * 5)
    accounting, findings = found(bundle, tmp_path)
    assert "images-p-not-probabilities" in {one["code"] for one in findings}
    assert accounting["first"]["images"] == {"listed": 6, "left_out": 1, "used": 5}
    for study in range(1, 6):
        rewritten(images(bundle, study)[0]["filename"], lambda p: -np.log10(p) * 5)
    (refused,) = found(bundle, tmp_path)[1]
    assert refused["code"] == "images-unusable"
    assert "they may be -log10 p (6)" in refused["message"]


def test_maps_that_may_mislead_are_named(tmp_path: Path) -> None:
    import numpy as np

    bundle = image_bundle(tmp_path, n_studies=8)
    images(bundle, 0)[0]["space"], images(bundle, 1)[0]["space"] = "TAL", "fsaverage"
    images(bundle, 2)[0]["space"] = None
    images(bundle, 3)[:] = copy.deepcopy(images(bundle, 4))
    rewritten(
        images(bundle, 5)[0]["filename"], lambda z: (z, np.diag([8.0, 8, 8, 1]) + 5000 * np.eye(4)[:, [3, 0, 1, 2]])
    )
    rewritten(images(bundle, 6)[0]["filename"], lambda z: z * 100)
    rewritten(images(bundle, 7)[0]["filename"], lambda z: z * 0 + 1)
    _, findings = found(bundle, tmp_path)
    assert {one["code"]: one["count"] for one in findings} == {
        "images-space": 2,
        "images-repeated": 2,
        "images-implausible": 2,
    } | {"images-outside-brain": 1}
    for one in findings:
        assert not INSIDES.search(one["message"]), one["message"]
        assert ID not in one["message"]


def test_maps_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path, n_studies=8)
    rewritten(images(bundle, 0)[0]["filename"], lambda z: z * 0)
    content = Path(images(bundle, 1)[0]["filename"]).read_bytes()
    Path(images(bundle, 1)[0]["filename"]).write_bytes(content[: len(content) // 2])
    images(bundle, 2)[0]["value_type"] = "F map"
    images(bundle, 3).append({**images(bundle, 3)[0], "id": "better"})
    (one,) = found(bundle, tmp_path)[1]
    assert (one["code"], one["count"]) == ("images-not-read", 3)
    assert "1 Z map: it has no finite value other than zero" in one["message"]
    assert "1 Z map: it cannot be read as NIfTI: the file is damaged or cut off" in one["message"]
    assert "1 F map: no kind of map that a meta-analysis can use" in one["message"]
    assert not INSIDES.search(one["message"])


def test_what_no_analysis_has_is_said_without_nimares_words(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path, ("t",))
    for study in bundle["studyset"]["studies"]:
        study["analyses"][0]["metadata"] = {}
    studies, specification = selected(bundle, tmp_path)
    directory = ResultDirectory(tmp_path / "results")
    with pytest.raises(ImageError, match="6 left out: no z map: t can be converted when") as error:
        stages.compute(studies, specification, JobOptions(1, 1), directory, Progress(), {})
    assert "metadata field" not in str(error.value)
    assert not INSIDES.search(str(error.value))


def test_t_maps_need_a_sample_size_to_become_z_maps(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path, ("t",))
    for study in bundle["studyset"]["studies"][:2]:
        study["analyses"][0]["metadata"] = {}
    studies, specification = selected(bundle, tmp_path)
    audit = audit_of(studies.inputs)
    assert [(one.code, one.count) for one in audit.findings] == [("images-t-without-sample-size", 2)]
    directory = ResultDirectory(tmp_path / "results")
    stages.compute(studies, specification, JobOptions(1, 1), directory, Progress(), {}, audited=audit)
    left_out = [one for one in audit.findings if one.code == "images-left-out"]
    assert [one.count for one in left_out] == [2]
    assert "t can be converted when the analysis has a sample size" in left_out[0].message
    assert audit.counts["first"] == {"studies": 4, "analyses": 4, "foci": 0}
    assert [row["in"] for row in audit.describe()["studies"]] == [False, False, True, True, True, True]


# --- the command ------------------------------------------------------------------------------------------------------


def check(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("compose-runner")
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run([command, "check", *args], capture_output=True, text=True, check=False, env=environment)


def test_the_command_shows_the_account_and_the_findings_in_80_columns(tmp_path: Path) -> None:
    bundle = good_bundle(6)
    odd_inputs.points(bundle, 0)[0]["coordinates"] = None
    bundle["studyset"]["studies"][0]["name"] = "[bold]Pain\x1b[31m of {0}"
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))
    ended = check(tmp_path / "bundle.json")
    assert ended.returncode == 0, ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= 80
    assert "\x1b" not in ended.stdout
    assert "[bold]Pain" in ended.stdout
    assert "coordinates-left-out" in ended.stdout
    assert "0 errors, 2 warnings, 0 notes. It can run." in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.json"}


def test_the_command_answers_in_json_and_ends_with_1_for_what_cannot_run(tmp_path: Path) -> None:
    bundle = good_bundle()
    CASES["everything_outside"].change(bundle)
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))
    ended = check(tmp_path / "bundle.json", "--json")
    assert ended.returncode == 1
    about = json.loads(ended.stdout)
    assert [one["severity"] for one in about["audit"]] == ["error"]
    assert about["accounting"]["first"]["foci"]["used"] == 0
    assert len(about["studies"]) == odd_inputs.STUDIES


def test_the_command_takes_a_path_that_is_not_there_for_a_mistake() -> None:
    ended = CliRunner().invoke(compose_runner, ["check", "no/such/bundle.json"])
    assert ended.exit_code == 2
    assert "There is no file or directory" in ended.output


@pytest.mark.parametrize(
    ("kinds", "estimator", "sized", "n_studies", "refused"),
    [
        (("t",), "Stouffers", False, 6, True),
        (("t",), "Stouffers", True, 6, False),
        (("p",), "Fishers", False, 6, False),
        (("beta",), "DerSimonianLaird", True, 6, True),
        (("t", "beta"), "DerSimonianLaird", False, 6, False),
        (("z",), "PermutedOLS", True, 6, True),
        (("beta",), "SampleSizeBasedLikelihood", False, 6, True),
        (("z",), "FixedEffectsHedges", True, 6, False),
        (("z",), "Stouffers", True, 1, True),
    ],
)
def test_maps_that_an_estimator_cannot_compute_from_are_refused_before_it_tries(
    kinds: tuple[str, ...], estimator: str, sized: bool, n_studies: int, refused: bool, tmp_path: Path
) -> None:
    bundle = image_bundle(tmp_path, kinds, n_studies)
    bundle["specification"] = synthetic.specification(estimator, {}, kind="IBMA")
    if not sized:
        for study in bundle["studyset"]["studies"]:
            study["metadata"] = study["analyses"][0]["metadata"] = {}
    _, findings = found(bundle, tmp_path)
    errors = [one["message"] for one in findings if one["severity"] == "error"]
    assert bool(errors) is refused
    for message in errors:
        assert message.startswith(f"{estimator} needs at least 2 analyses with a ")
        assert not INSIDES.search(message)
