"""The methods text of a result says what was computed, from what numbers, and cites what it names."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import pytest

from compose_runner.analysis.write.methods import Methods, bibtex_for, methods_text
from compose_runner.analysis.write.methods_statistics import ESTIMATORS
from compose_runner.analysis.write.references import methods, references
from compose_runner.specification.parsing import Specification, parse_specification
from compose_runner.specification.signatures import signatures
from tests.support import hostile_texts, methods_texts
from tests.support.form import parsed

NAMES = sorted(signatures().estimators)
MONTE_CARLO = {"type": "FWECorrector", "args": {"method": "montecarlo", "n_iters": 1234, "voxel_thresh": 0.002}}


def text_of(specification: Specification, **more: Any) -> str:
    """The text as people read it."""
    made = methods_text(specification, methods_texts.record(specification, **more))
    return methods(made.text, made.bibtex).text


def test_every_estimator_of_nimare_has_a_beginning() -> None:
    assert set(ESTIMATORS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_texts_are_those_of_the_golden_files(name: str) -> None:
    expected = (methods_texts.FOLDER / f"{name}.txt").read_text(encoding="utf-8")

    assert methods_texts.golden(name) == expected, "python -m tests.support.methods_texts writes the files anew"


@pytest.mark.parametrize("name", NAMES)
def test_every_citation_has_its_reference_and_every_reference_is_cited(name: str) -> None:
    for heading, made in methods_texts.texts(name):
        cited = {key for keys in re.findall(r"\\cite\w*\{([^}]*)\}", made.text) for key in keys.split(",")}
        assert {one.key for one in references(made.bibtex)} == cited, heading


@pytest.mark.parametrize("name", NAMES)
def test_the_latex_reads_as_plain_text(name: str) -> None:
    for heading, made in methods_texts.texts(name):
        plain = methods(made.text, made.bibtex).text
        assert not re.search(r"[\\{}$]|None|nan|\bTrue\b|\bFalse\b|_(?!017398)|  | ,| \.", plain), heading
        assert plain.endswith(".")


def test_no_text_has_a_sentence_of_another_estimator() -> None:
    own = {
        "ALE": {"ALE", "ALESubtraction", "BalancedALESubtraction", "SCALE"},
        "Gaussian": {"ALE", "ALESubtraction", "BalancedALESubtraction", "SCALE"},
        "kernel density": {"MKDADensity", "KDA", "MKDAChi2"},
        "sphere": {"MKDADensity", "KDA", "MKDAChi2"},
        "chi-squared": {"MKDAChi2"},
        "Talairach": {name for name in NAMES if signatures().estimators[name].kind == "CBMA"},
        "Images were resampled": {name for name in NAMES if signatures().estimators[name].kind == "IBMA"},
    }
    for name in NAMES:
        for heading, made in methods_texts.texts(name):
            said = methods(made.text, made.bibtex).text.replace("thresholds of ALE values", "")
            for words, whose in own.items():
                assert (words in said) == (name in whose), (name, heading, words)


@pytest.mark.parametrize("name", NAMES)
def test_every_text_names_its_correction(name: str) -> None:
    words = {
        "no correction": "not corrected for multiple comparisons; clusters are descriptive",
        "FDRCorrector, indep": "Benjamini and Hochberg",
        "FDRCorrector, negcorr": "Benjamini and Yekutieli",
        "FWECorrector, bonferroni": "Bonferroni's correction",
        "FWECorrector, montecarlo": "Monte Carlo iterations",
        "FWECorrector, predictive": "models, trained on simulations",
    }
    for heading, made in methods_texts.texts(name):
        meant = max((key for key in words if heading.startswith(key)), key=len)
        for key, said in words.items():
            assert (said in made.text) == (key == meant), (heading, key)


def test_a_text_has_the_numbers_that_were_used() -> None:
    specification = parsed("MKDADensity", {"kernel__r": 6}, MONTE_CARLO)

    said = text_of(specification, seed=7)

    for words in (
        "142 foci of 20 experiments from 20 studies with 380 participants",
        "12 were converted from Talairach to MNI space with the transform of Lancaster et al. (2007)",
        "1 focus of an unknown space was taken as MNI coordinates",
        "1 further study was selected, but had no focus within the brain mask.",
        "3 further foci outside the mask were not counted, and entered the analysis only as far as the kernel",
        "sphere with a radius of 6 mm",
        "1,234 Monte Carlo iterations",
        "threshold of p < 0.002",
        "at least 10 voxels (80 cubic millimetres) are reported where the cluster-mass corrected p < 0.05 (one-tailed",
        "The seed of all random draws was 7",
        "MNI152 template with voxels of 2 mm",
        "NiMARE 0.22.1",
        "compose-runner 1.0.0",
    ):
        assert words in said


def test_a_record_without_accounting_gives_what_was_selected() -> None:
    specification = parsed("ALE")

    said = text_of(specification, accounting=None)

    assert "145 foci of 21 experiments from 21 studies." in said
    assert "Foci that are labelled as Talairach coordinates were converted" in said
    assert "participant" not in said


def test_two_groups_are_told_apart_and_a_known_reference_is_named() -> None:
    groups = text_of(parsed("MKDAChi2"))
    assert "The first group included 142 foci" in groups
    assert "The second group included 284 foci" in groups
    assert "the first minus the second" in groups

    document = {"type": "CBMA", "estimator": "MKDAChi2", "filter": "included", "database_studyset": "neurosynth"}
    assert "the Neurosynth database (Yarkoni et al., 2011)" in text_of(parse_specification(document))
    hostile = {**document, "database_studyset": "<script>\\input{/etc/passwd}"}
    assert "of a reference database that" in text_of(parse_specification(hostile))


def test_a_seed_is_named_only_where_something_is_drawn() -> None:
    assert "seed" not in text_of(parsed("ALE"))
    assert "seed" not in text_of(parsed("Fishers", {}, {"type": "FDRCorrector", "args": {}}))
    assert "seed" in text_of(parsed("ALE", {"null_method": "montecarlo"}))
    assert "seed" in text_of(parsed("PermutedOLS", {}, MONTE_CARLO))


def test_an_uncorrected_result_says_so_and_its_rule() -> None:
    said = text_of(parsed("ALE"))

    assert "The result was not corrected for multiple comparisons; clusters are descriptive." in said
    assert "where the uncorrected p < 0.05 (one-tailed" in said


def test_alpha_is_that_of_the_specification() -> None:
    fdr = {"type": "FDRCorrector", "args": {"alpha": 0.01}}

    assert text_of(parsed("MKDAChi2", {}, fdr)).count("q < 0.01") == 2


def test_a_record_without_diagnostics_or_versions_has_a_text_as_well() -> None:
    made = methods_text(parsed("Hedges"), {})

    assert made.text.startswith("An image-based")
    assert "Clusters of" not in made.text


def test_nothing_that_a_documents_author_wrote_enters_a_text() -> None:
    for payload in hostile_texts.EVERYWHERE:
        specification = parsed("ALE", {}, {"type": "FDRCorrector", "args": {}})
        record = methods_texts.record(
            specification, name=payload, meta_analysis_id=payload, studies=[{"title": payload}]
        )
        assert payload not in methods_text(specification, record).text or len(payload) < 5


def test_a_citation_without_a_reference_is_an_error() -> None:
    with pytest.raises(KeyError, match="nobody2099"):
        bibtex_for(r"As was said \citep{nobody2099}.")


def test_bossier_is_among_the_references() -> None:
    made: Methods = methods_text(parsed("FixedEffectsHedges"), {})

    assert "@article{bossier2019," in made.bibtex


def test_the_texts_describe_the_nimare_that_is_installed() -> None:
    # what an iteration draws and how spheres overlap was read in its source; read it again before this is raised
    assert version("nimare").startswith("0.22.")
