"""Every pair of estimator and corrector of Compose's form runs, gives what it means, and Compose finds its table."""

from __future__ import annotations

import functools
import gc
import json
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from nimare.nimads import Studyset

from compose_runner.analysis import stages
from compose_runner.analysis.compute.estimators import build
from compose_runner.analysis.compute.workflow import run_meta_analysis
from compose_runner.analysis.problems import Problems
from compose_runner.analysis.publish.uploads import upload_parts
from compose_runner.analysis.select.selection import select
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.analysis.write.tables import write_table
from compose_runner.specification.parsing import parse_specification
from tests.support import compose_rule, synthetic
from tests.support.form import FORM, form_document

if TYPE_CHECKING:
    from pathlib import Path

    from nimare.results import MetaResult

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

Document = dict[str, Any]

ESTIMATORS = [name for kind in ("CBMA", "IBMA") for name in FORM[kind] if name != "Counter"]
ITERATIONS = 40  # p of the largest value is 1 / 40
PERMUTATIONS = 1000  # for p values of voxels that can be significant after a correction for all of them
# no p of so few permutations is less than .05 divided by the number of voxels
NOTHING_SIGNIFICANT = ("ALESubtraction", "bonferroni")
ONE_GROUP = ("ALE", "KDA", "MKDADensity")
# where the two groups of studies have their foci, in the middle of the small brain
PLACES = ((-12.0, 0.0, 0.0), (12.0, 0.0, 0.0))


def case(name: str, corrector: str | None, **args: Any) -> Any:
    words = [str(value) for value in args.values()]
    return pytest.param(name, corrector, args, id="-".join([name, str(corrector)[:3], *words]))


PAIRS = [case(name, corrector) for name in ESTIMATORS for corrector in (None, *FORM["CORRECTOR"])]
# what else the form offers: a Monte Carlo correction, one of voxels only, and one that was stored without its method
FORM_MONTE_CARLO = {"voxel_thresh": 0.001, "n_iters": ITERATIONS, "vfwe_only": False}
CHOSEN = [
    *[case(name, "FWECorrector", method="montecarlo", **FORM_MONTE_CARLO) for name in ONE_GROUP],
    case("ALE", "FWECorrector", method="montecarlo", **{**FORM_MONTE_CARLO, "vfwe_only": True}),
    case("MKDADensity", "FWECorrector", method=None, **FORM_MONTE_CARLO),
    case("MKDAChi2", "FWECorrector", method="montecarlo", **FORM_MONTE_CARLO),
    case("ALESubtraction", "FWECorrector", method="montecarlo", **FORM_MONTE_CARLO),
    case("PermutedOLS", "FWECorrector", method="montecarlo", n_iters=ITERATIONS),
    case("ALE", "FDRCorrector", method="negcorr"),
]


def stored(name: str, corrector: str | None, **args: Any) -> Document:
    """What the form stores, with few iterations, which its user types below the others."""
    document = form_document(name, corrector, **args)
    if name == "ALESubtraction":
        document["estimator"]["args"]["**kwargs"] = {"n_iters": str(PERMUTATIONS)}
    return document


@functools.cache
def coordinates(folder: Path) -> tuple[Studyset, Document]:
    document = synthetic.studyset(
        synthetic.study(
            f"s{i}",
            [
                synthetic.analysis(
                    f"s{i}a{j}",
                    [tuple(np.round(np.random.default_rng(97 * i + j).normal(place, 1.5), 1)) for _ in range(2)],
                    metadata={"sample_sizes": [12 + i]},
                )
                for j, place in enumerate(PLACES)
            ],
        )
        for i in range(14)
    )
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -32.0
    return _studyset(document, folder / "brain.nii.gz", affine, (33, 33, 33))


@functools.cache
def images(folder: Path) -> tuple[Studyset, Document]:
    document = synthetic.random_studyset(6, analyses_per_study=1)
    for place, study in enumerate(document["studies"]):
        study["analyses"][0]["metadata"]["sample_sizes"] = [300 + place]  # maps with little noise
    document = synthetic.with_maps(document, folder / "maps")
    # a few voxels only: an image-based estimator fits a model in each of them
    affine = np.diag([16.0, 16.0, 16.0, 1.0])
    affine[:3, 3] = (-40.0, -60.0, -20.0)
    return _studyset(document, folder / "few.nii.gz", affine, (6, 6, 6))


def _studyset(document: Document, mask: Path, affine: Any, shape: tuple[int, ...]) -> tuple[Studyset, Document]:
    annotation = synthetic.annotated(document, lambda _study, analysis: analysis == 0)
    nibabel.Nifti1Image(np.ones(shape, dtype=np.int8), affine).to_filename(mask)
    return Studyset(document, target="mni152_2mm", annotations=[annotation], mask=str(mask)), annotation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("brains")


@functools.cache
def run(text: str, folder: Path) -> tuple[MetaResult, Problems]:
    """Run a specification, given as JSON, once; its result is not to be changed."""
    specification = parse_specification(json.loads(text))
    studyset, annotation = (images if specification.image_based else coordinates)(folder)
    groups, problems = select(studyset, annotation, specification), Problems()
    estimator, corrector = build(specification, n_cores=1, seed=3)
    return run_meta_analysis(groups.first, groups.second, estimator, corrector, problems=problems), problems


def uploaded(result: MetaResult, document: Document, path: Path) -> list[Any]:
    """What Compose would be sent of a result, whose maps are not looked at."""
    directory = ResultDirectory(path)
    with directory.writing() as written:
        (written / "z.nii.gz").write_bytes(b"map")
        for name, table in result.tables.items():
            if table is not None:
                write_table(table, written / f"{name}.tsv")
    directory.write_metadata({"specification": document, "artifacts": directory.artifacts(), **stages.describe(result)})
    return upload_parts(directory)


def is_what_the_form_means(result: MetaResult, document: Document) -> None:
    args = {name: value for name, value in document["estimator"]["args"].items() if value is not None}
    assert type(result.estimator).__name__ == document["estimator"]["type"]
    for name, value in {**args, **args.pop("**kwargs", {})}.items():
        if name not in ("n_iters", "**kwargs", "normalize_contrast_weights"):
            owner = result.estimator.kernel_transformer if name.startswith("kernel__") else result.estimator
            assert getattr(owner, name.removeprefix("kernel__")) == value, name
    asked = document["corrector"]
    assert (result.corrector is None) == (asked is None)
    if asked is not None:
        assert type(result.corrector).__name__ == asked["type"]
        assert result.corrector.method == (asked["args"]["method"] or "montecarlo")
        family = asked["type"].removesuffix("Corrector")
        assert any(f"_corr-{family}_method-{result.corrector.method}" in name for name in result.maps)


every_pair = pytest.mark.parametrize(("name", "corrector", "args"), [*PAIRS, *CHOSEN])


@every_pair
def test_a_pair_of_the_form_runs_and_gives_what_the_form_means(
    name: str, corrector: str | None, args: Document, folder: Path
) -> None:
    document = stored(name, corrector, **args)

    result, problems = run(json.dumps(document), folder)

    assert problems.listed == []
    is_what_the_form_means(result, document)


@every_pair
def test_compose_finds_the_table_of_what_is_significant(
    name: str, corrector: str | None, args: Document, folder: Path, tmp_path: Path
) -> None:
    document = stored(name, corrector, **args)
    result, _ = run(json.dumps(document), folder)

    parts = uploaded(result, document, tmp_path)

    found = compose_rule.taken(parts, document)
    clusters = [one for one, table in result.tables.items() if one.endswith("_tab-clust") and len(table)]
    if (name, result.corrector and result.corrector.method) == NOTHING_SIGNIFICANT:
        assert not [one for one in clusters if "group1MinusGroup2" in one]
        assert found is None
        return
    assert found is not None
    header, *rows = found[1].splitlines()
    assert {"X", "Y", "Z", "Peak Stat", "Cluster Size (mm3)"} <= set(header.split("\t"))
    assert rows
    # the table is one of NiMARE's, and the contributions that are kept are of the same map
    target = next(one for one in clusters if _same(result.tables[one], rows, header))
    kept = compose_rule.first_diagnostic(parts)
    assert kept is not None
    assert kept.startswith(f"{target.removesuffix('_tab-clust')}_diag-")


def _same(table: Any, rows: list[str], header: str) -> bool:
    place = header.split("\t").index("X")
    return [float(row.split("\t")[place]) for row in rows] == [float(x) for x in table["X"]]
