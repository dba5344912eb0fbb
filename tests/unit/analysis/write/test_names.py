"""Studies are called what their readers call them, whatever form the documents have, and no two alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_runner.analysis.write.names import Link, experiment_names, first_author, links, study_names
from tests.support import synthetic


@pytest.mark.parametrize(
    ("authors", "family"),
    [
        ("L. Nagamatsu; C. Liang Hsu; M. Voss", "Nagamatsu"),
        ("Nagel IE, Preuschhof C, Li SC", "Nagel"),
        ("Ruchika Shaurya Prakash; Susie Heo", "Prakash"),
        ("F.T. van Vugt, K. Hartmann and D.S. Margulies", "van Vugt"),
        ("van der Berg J", "van der Berg"),
        ("de Manzano O, Pinho AL", "de Manzano"),
        ("Rachel M Brown, Virginia B Penhune", "Brown"),
        ("Flores-Gutierrez EO, Diaz JL", "Flores-Gutierrez"),
        ("J. O'Brien", "O'Brien"),
        ("Smith, John; Doe, Jane", "Smith"),
        ("Smith, J.", "Smith"),
        ("Pau S", "Pau"),
        ("Z. Li et al.", "Li"),
        ("Martin Luther King Jr.", "King"),
        ("Jean-Paul Taylor & M. Firbank", "Taylor"),
        ("王芳", "王芳"),
        ("Madonna", "Madonna"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_first_author_is_found_in_every_form(authors: str | None, family: str) -> None:
    assert first_author(authors) == family


def study(
    study_id: str, authors: object = "Doe J", year: object = 2020, name: str = "", **more: object
) -> dict[str, object]:
    return {"id": study_id, "authors": authors, "year": year, "name": name, **more}


def test_studies_of_the_same_author_and_year_get_letters_in_the_order_of_their_titles() -> None:
    names = study_names([study("2", name="Beta"), study("1", name="Alpha"), study("3", year=2021)])
    assert names == {"2": "Doe 2020b", "1": "Doe 2020a", "3": "Doe 2021"}


def test_letters_go_on_after_z() -> None:
    names = study_names([study(f"{number:02}") for number in range(28)])
    assert [names["25"], names["26"], names["27"]] == ["Doe 2020z", "Doe 2020aa", "Doe 2020ab"]


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (study("x", authors=None, name="A title"), "A title"),
        (study("x", authors=None, name="word " * 40), "word word word word word word word word word…"),
        (study("x", authors=None), "x"),
        (study("", authors=None), "study without a name"),
        (study("x", year=None), "Doe (no year)"),
        (study("x", year="published 2019-05"), "Doe 2019"),
        (study("x", year=2016.0), "Doe 2016"),
        (study("x", authors={"a": 1}, name="T"), "T"),
        (study("x", authors="Evil\u202eJ; B"), "Evil 2020"),
    ],
)
def test_what_is_missing_is_made_up_for(document: dict[str, object], name: str) -> None:
    assert study_names([document]) == {document["id"]: name}


def test_a_contrast_is_named_only_where_a_study_has_several_in_use() -> None:
    studies = [
        study("s", analyses=[{"id": "1", "name": "A > B"}, {"id": "2", "name": "A > B"}, {"id": "3", "name": None}]),
        study("t", authors="Roe", analyses=[{"id": "1", "name": "C"}, {"id": "2", "name": "D"}]),
    ]
    assert experiment_names(studies) == {
        ("s", "1"): "Doe 2020 (A > B)",
        ("s", "2"): "Doe 2020 (A > B, 2)",
        ("s", "3"): "Doe 2020 (contrast 3)",
        ("t", "1"): "Roe 2020 (C)",
        ("t", "2"): "Roe 2020 (D)",
    }
    assert experiment_names(studies, [("s", "2"), ("t", "1")]) == {("s", "2"): "Doe 2020", ("t", "1"): "Roe 2020"}


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["Doe J", "Doe J (x)"])),
            st.one_of(st.none(), st.integers(), st.text(max_size=6)),
            st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=4),
        ),
        max_size=6,
    )
)
def test_no_two_experiments_have_the_same_name(documents: list[tuple[object, object, list[object]]]) -> None:
    studies = [
        study(f"id{n}", authors, year, analyses=[{"id": str(m), "name": name} for m, name in enumerate(contrasts)])
        for n, (authors, year, contrasts) in enumerate(documents)
    ]
    names = list(experiment_names(studies).values())
    assert len(set(names)) == len(names) == sum(len(contrasts) for _, _, contrasts in documents)
    assert all(name and name == " ".join(name.split()) for name in names)


def test_links_are_made_of_what_has_the_right_form_only() -> None:
    good = study("2v8wxmznWGtn", doi="https://doi.org/10.3389/fnagi.2016.00020", pmid=26903862)
    assert links(good) == [
        Link("DOI", "https://doi.org/10.3389/fnagi.2016.00020"),
        Link("PubMed", "https://pubmed.ncbi.nlm.nih.gov/26903862/"),
        Link("NeuroStore", "https://neurostore.org/api/studies/2v8wxmznWGtn"),
    ]
    hostile = study("../../x", doi='10.1234/x"onmouseover="a<script>', pmid="1; javascript:alert(1)")
    assert links(hostile) == [Link("DOI", "https://doi.org/10.1234/x%22onmouseover%3D%22a%3Cscript%3E")]
    assert links(study("x", doi="javascript:alert(1)", pmid=None)) == []
    assert links(study("x", pmid=26903862.0)) == [Link("PubMed", "https://pubmed.ncbi.nlm.nih.gov/26903862/")]


def test_synthetic_studysets_have_names_too() -> None:
    document = synthetic.random_studyset(3)
    assert list(study_names(document["studies"]).values()) == ["Author 2020a", "Author 2020b", "Author 2020c"]
