"""NiMARE's methods text reads like a paper's, and its references are what reference managers take."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import rispy

from compose_runner.analysis.write.references import Author, methods, references

BIBTEX = r"""
@article{one,
  title={Controlling the false discovery rate},
  author={Benjamini, Yoav and Hochberg, Yosef},
  journal={Journal of the Royal Statistical Society}, volume={57}, number={1}, pages={289--300}, year={1995},
  url={https://doi.org/10.1111/j.2517}, doi={10.1111/j.2517}
}
@article{three, author={P{\'e}rez, Alexandre and Poline, Jean-Baptiste and Van Essen, David C},
  title={{NiMARE}: \& more}, journal={Aperture Neuro}, year={2023}, pages={1 - 32}}
@book{same1, author={Doe, J. and others}, title={Alpha}, publisher={Press}, year=2001}
@book{same2, author={Doe, J. and others}, title={Beta}, publisher={Press}, year=2001}
"""
HOSTILE = """
@article{x, author={<b>Evil</b>}, title={</textarea><script>alert(1)</script>
ER  -
TY  - FAKE}, year=2001, url={javascript:alert(1)}}
@article{y, author={Evil, B}, title={[link](javascript:alert(1)) *b*}, year=2002, doi={10.1/x"><script>}}
"""


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"ALE \citep{one,three} was used.", "ALE (Benjamini & Hochberg, 1995; Pérez et al., 2023) was used."),
        (r"NiMARE (RRID; \citealt{three})", "NiMARE (RRID; Pérez et al., 2023)"),
        (r"as in \cite{one}", "as in Benjamini & Hochberg (1995)"),
        (r"\citet{one}, \citep[see][p. 3]{one}", "Benjamini & Hochberg (1995), (see Benjamini & Hochberg, 1995, p. 3)"),
        (r"\citep{same1,same2}", "(Doe et al., 2001a; Doe et al., 2001b)"),
        (r"\citep{unknown}", "(unknown)"),
        (r"5\% of \emph{it}, p $<$ 0.05", "5% of it, p < 0.05"),
        ("50% of it", "50% of it"),
        ("using a(n) ALE kernel", "using an ALE kernel"),
        ("using a(n) MKDA kernel or a(n) KDA kernel", "using an MKDA kernel or a KDA kernel"),
        ("It was performed was performed with", "It was performed with"),
        ("one { brace } or } two", "one brace or two"),
        (r"\input{/etc/passwd} stays out", "stays out"),
        ("", ""),
    ],
)
def test_latex_becomes_plain_text(latex: str, text: str) -> None:
    assert methods(latex, BIBTEX).text == text


def test_a_citation_is_not_read_as_latex_again() -> None:
    bibtex = r"@article{k, author={{50\% Group}}, title={t}, year=2000}"
    assert methods(r"\citep{k} and more", bibtex).text == "(50% Group, 2000) and more"


def test_references_are_formatted_in_alphabetical_order() -> None:
    assert [str(reference) for reference in methods("", BIBTEX).references] == [
        "Benjamini, Y., & Hochberg, Y. (1995). Controlling the false discovery rate. "
        "Journal of the Royal Statistical Society, 57(1), 289–300. https://doi.org/10.1111/j.2517",
        "Doe, J., et al. (2001a). Alpha. Press.",
        "Doe, J., et al. (2001b). Beta. Press.",
        "Pérez, A., Poline, J.-B., & Van Essen, D. C. (2023). NiMARE: & more. Aperture Neuro, 1–32.",
    ]


def test_ris_is_read_back_by_a_reader_of_ris() -> None:
    entries = rispy.loads(methods("", BIBTEX).ris)
    assert [entry["type_of_reference"] for entry in entries] == ["JOUR", "BOOK", "BOOK", "JOUR"]
    first = entries[0]
    assert first["authors"] == ["Benjamini, Yoav", "Hochberg, Yosef"]
    assert (first["start_page"], first["end_page"], first["doi"]) == ("289", "300", "10.1111/j.2517")
    assert methods("", "").ris == ""


def test_hostile_references_stay_text_in_every_form() -> None:
    made = methods("", HOSTILE)
    assert len(rispy.loads(made.ris)) == 2
    html = "".join(reference.__html__() for reference in made.references)
    assert "<script" not in html
    assert "<b>" not in html
    assert 'href="javascript' not in html
    assert 'href="https://doi.org/10.1/x%22%3E%3Cscript%3E"' in html
    assert "<script" not in made.markdown
    assert r"\[link\](javascript" in made.markdown
    assert r"\*b\*" in made.markdown


def test_markdown_holds_text_and_references() -> None:
    made = methods(r"ALE \citep{one}", BIBTEX)
    assert made.markdown.startswith("ALE (Benjamini & Hochberg, 1995)\n\n## References\n\n- Benjamini")
    assert "<https://doi.org/10.1111/j.2517>" in made.markdown


def test_what_is_no_bibtex_is_left_out() -> None:
    assert [one.key for one in references(BIBTEX + "@article{broken, author={")] == ["one", "same1", "same2", "three"]


def test_every_reference_of_nimare_is_read() -> None:
    spec = find_spec("nimare")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(next(iter(spec.submodule_search_locations))) / "resources" / "references.bib"
    text = path.read_text(encoding="utf-8")
    found = references(text)
    assert len(found) == text.count("\n@") + text.startswith("@")
    for one in found:
        assert one.authors
        assert one.title
        assert not set("{}\\$") & set(str(one)), str(one)


def test_initials() -> None:
    assert Author("Poline", "Jean-Baptiste").initials == "J.-B."
    assert Author("Fox", "P.T.").initials == "P. T."
    assert Author("Consortium").initials == ""
