r"""NiMARE's methods text and its references in the forms that people paste: text, Markdown, LaTeX, BibTeX, RIS.

NiMARE describes what it did in LaTeX with ``\citep{key}`` and gives the references as BibTeX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import bibtexparser
import rispy
from bibtexparser import middlewares
from markupsafe import Markup
from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import get_default_latex_context_db

from compose_runner.analysis.write.markdown import markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# \citep{one,two}, with natbib's star and optional notes
_CITATION = re.compile(r"\\(?P<kind>cite[a-z]*)\*?(?P<notes>(?:\[[^\]]*\]){0,2})\{(?P<keys>[^{}]*)\}")
_IN_SENTENCE = ("cite", "citet")  # "Eickhoff et al. (2012)"
_BARE = ("citealt", "citealp")  # "Eickhoff et al., 2012", within parentheses that are there
_TWICE = re.compile(r"\b(was performed|were performed|was used)(?:\s+\1)+\b")
_ARTICLE = re.compile(r"\ba\(n\) (?=(\w+))")
_SPOKEN_WITH_VOWEL = "AEFHILMNORSX"  # letters whose names begin with a vowel: an MKDA kernel
# what LaTeX takes for more than the letters that stand there
_LATEX = re.compile(r"[\\{}$%~&#^_`'\"<>\n]|--|[!?]`")
_OTHERS = "others"  # BibTeX's et al.
_UNTITLED = "without a title"


@dataclass(frozen=True)
class Author:
    """A person or a group.

    Parameters
    ----------
    family, given : str
        A group has no `given`.
    """

    family: str
    given: str = ""

    @property
    def initials(self) -> str:
        """``J.-B.`` for Jean-Baptiste."""
        return " ".join(
            "-".join(f"{part[0]}." for part in name.split("-") if part)
            for name in self.given.replace(".", ". ").split()
        )


@dataclass(frozen=True)
class Reference:
    """A publication; all texts are plain, not escaped.

    Parameters
    ----------
    key : str
        BibTeX's key.
    kind : str
        BibTeX's type: ``article``, ``book``, ``misc``.
    authors : tuple of Author
        In order.
    title, journal, year, volume, number, pages, publisher, doi, url : str
        Empty where they are not known.
    letter : str
        Tells references of the same authors and year apart: ``a``, ``b``.
    """

    key: str
    kind: str
    authors: tuple[Author, ...] = ()
    title: str = ""
    journal: str = ""
    year: str = ""
    volume: str = ""
    number: str = ""
    pages: str = ""
    publisher: str = ""
    doi: str = ""
    url: str = ""
    letter: str = ""

    @property
    def who(self) -> str:
        """``Benjamini & Hochberg``, ``Eickhoff et al.``."""
        families = [author.family for author in self.authors]
        if not families:
            return self.title or self.key
        if len(families) > 2 or families[1:] == [_OTHERS]:
            return f"{families[0]} et al."
        return " & ".join(families)

    @property
    def when(self) -> str:
        """``2012a``; ``n.d.`` without a year."""
        return f"{self.year or 'n.d.'}{self.letter}"

    @property
    def address(self) -> str:
        """Where it can be read: its DOI's address, or else its own if that is one of the web."""
        if self.doi:
            return f"https://doi.org/{quote(self.doi, safe='/:;().,-_~+')}"
        return self.url if re.fullmatch(r"https?://[^\s<>\"'`\\]+", self.url) else ""

    def __str__(self) -> str:
        """``Eickhoff, S. B., & Fox, P. T. (2012). Title. NeuroImage, 59(3), 2349–2361. https://doi.org/…``."""
        return f"{self._before_address} {self.address}".strip()

    def __html__(self) -> str:
        """The same as HTML with a link."""
        if not self.address:
            return str(Markup("{}").format(self._before_address))
        return str(Markup('{0} <a href="{1}">{1}</a>').format(self._before_address, self.address))

    @property
    def markdown(self) -> str:
        """The same as Markdown."""
        return f"{markdown(self._before_address)} {f'<{self.address}>' if self.address else ''}".strip()

    @property
    def _before_address(self) -> str:
        names = [f"{a.family}, {a.initials}" if a.given else a.family for a in self.authors]
        if names[1:] and names[-1] == _OTHERS:
            names[-1] = "et al."
        elif len(names) > 1:
            names[-1] = f"& {names[-1]}"
        volume = self.volume + (f"({self.number})" if self.number else "")
        where = ", ".join(part for part in (self.journal or self.publisher, volume, self.pages) if part)
        parts = [", ".join(names), f"({self.when})", self.title or _UNTITLED, where]
        return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


@dataclass(frozen=True)
class ReadMethods:
    r"""The methods text with its references.

    Parameters
    ----------
    latex : str
        NiMARE's text, with ``\citep``.
    references : tuple of Reference
        In alphabetical order.
    bibtex : str
        NiMARE's BibTeX, for the keys in `latex`.
    """

    latex: str
    references: tuple[Reference, ...]
    bibtex: str

    @cached_property
    def text(self) -> str:
        """Plain text with (Author, year)."""
        by_key = {reference.key: reference for reference in self.references}
        cited: list[str] = []

        def keep(match: re.Match[str]) -> str:
            cited.append(_citation(match, by_key))
            return f"\ue000{len(cited) - 1}\ue001"

        # citations are put back after LaTeX has been read, so that a name in them is never taken for LaTeX
        marked = _CITATION.sub(keep, self.latex.replace("\ue000", "").replace("\ue001", ""))
        plain = re.sub("\ue000(\\d+)\ue001", lambda match: cited[int(match[1])], _plain(marked))
        return " ".join(plain.split())

    @property
    def markdown(self) -> str:
        """Markdown: the text, and the list of references."""
        items = "\n".join(f"- {reference.markdown}" for reference in self.references)
        return f"{markdown(self.text)}\n\n## References\n\n{items}\n" if items else f"{markdown(self.text)}\n"

    @property
    def ris(self) -> str:
        """The references for Zotero, EndNote, Mendeley."""
        return ris(self.references)


def methods(description: str, bibtex: str) -> ReadMethods:
    """Read what NiMARE says of a result.

    Parameters
    ----------
    description : str
        ``MetaResult.description_``.
    bibtex : str
        ``MetaResult.bibtex_``.

    Returns
    -------
    result : ReadMethods
        With NiMARE's doubled words and its "a(n)" set right.
    """
    latex = _TWICE.sub(r"\1", description)
    latex = _ARTICLE.sub(lambda match: f"{_article(match[1])} ", latex)
    return ReadMethods(latex, tuple(references(bibtex)), bibtex)


def references(bibtex: str) -> list[Reference]:
    """Read BibTeX; what cannot be read is left out.

    Parameters
    ----------
    bibtex : str
        Entries.

    Returns
    -------
    list of Reference
        In alphabetical order of authors, years, titles; LaTeX's letters decoded.
    """
    stack = [
        middlewares.SeparateCoAuthors(),
        middlewares.SplitNameParts(),  # before letters are decoded, which would drop the braces around a group's name
        middlewares.LatexDecodingMiddleware(),
    ]
    library = bibtexparser.parse_string(bibtex, append_middleware=stack)
    found = [_reference(entry) for entry in library.entries]
    found.sort(key=lambda one: ([a.family.casefold() for a in one.authors], one.year, one.title.casefold(), one.key))
    return _with_letters(found)


def ris(items: Iterable[Reference]) -> str:
    """Write references in RIS.

    Parameters
    ----------
    items : iterable of Reference
        What to write.
    """
    kinds = {"article": "JOUR", "book": "BOOK", "inproceedings": "CONF", "phdthesis": "THES"}
    entries: list[dict[str, Any]] = []
    for item in items:
        first, dash, last = item.pages.partition("–")
        entry = {
            "type_of_reference": kinds.get(item.kind, "GEN"),
            "authors": [f"{a.family}, {a.given}" if a.given else a.family for a in item.authors],
            "title": item.title,
            "journal_name": item.journal,
            "year": item.year,
            "volume": item.volume,
            "number": item.number,
            "start_page": first,
            "end_page": last if dash else "",
            "publisher": item.publisher,
            "doi": item.doi,
            "urls": [item.address] if item.address else [],
        }
        entries.append({name: value for name, value in entry.items() if value})
    return str(rispy.dumps(entries, implementation=_PlainRis)) if entries else ""


class _PlainRis(rispy.RisWriter):  # type: ignore[misc]
    """Without the numbers between entries, which some programs take for text."""

    def set_header(self, count: int) -> str:
        return ""


def _reference(entry: Any) -> Reference:
    def field(*names: str) -> str:
        for name in names:
            if (one := entry.fields_dict.get(name)) is not None and isinstance(one.value, str):
                return " ".join(one.value.replace("{", "").replace("}", "").split())
        return ""

    people = entry.fields_dict.get("author")
    authors = people.value if people is not None and isinstance(people.value, list) else []
    year = re.search(r"\d{4}", field("year", "date"))
    return Reference(
        key=entry.key,
        kind=entry.entry_type,
        authors=tuple(_author(author) for author in authors),
        title=field("title"),
        journal=field("journal", "booktitle"),
        year=year[0] if year else "",
        volume=field("volume"),
        number=field("number"),
        pages=re.sub(r"\s*(?:--+|–|(?<=\d)\s*-\s*(?=\d)|\s-\s)\s*", "–", field("pages", "elocation-id")),
        publisher=field("publisher"),
        doi=re.sub(r"^(?:https?://(?:dx\.)?doi\.org/|doi:\s*)", "", field("doi"), flags=re.IGNORECASE),
        url=field("url"),
    )


def _plain(latex: str) -> str:
    if _LATEX.search(latex) is None:
        return latex
    # a bare % would hide the rest of its line
    text = re.sub(r"(?<!\\)%", r"\\%", latex)
    to_text, macros = _converter()
    return str(to_text.latex_to_text(text, tolerant_parsing=True, latex_context=macros))


@cache
def _converter() -> tuple[LatexNodes2Text, Any]:
    """What turns LaTeX into text, with the macros that it knows; making either takes longer than most texts."""
    return LatexNodes2Text(), get_default_latex_context_db()


def _author(author: Any) -> Author:
    def joined(parts: Sequence[str]) -> str:
        return " ".join(_plain(" ".join(parts)).split())

    if not hasattr(author, "last"):
        return Author(joined([str(author)]))
    return Author(joined([*author.von, *author.last]), joined([*author.first, *author.jr]))


def _with_letters(found: list[Reference]) -> list[Reference]:
    alike: dict[tuple[str, str], list[Reference]] = {}
    for reference in found:
        alike.setdefault((reference.who, reference.year), []).append(reference)
    return [
        replace(one, letter=chr(ord("a") + min(group.index(one), 25))) if len(group) > 1 else one
        for one in found
        for group in [alike[one.who, one.year]]
    ]


def _citation(match: re.Match[str], by_key: dict[str, Reference]) -> str:
    keys = [key.strip() for key in match["keys"].split(",") if key.strip()]
    known = [by_key.get(key, Reference(key, "misc")) for key in keys]
    if match["kind"] in _IN_SENTENCE:
        return "; ".join(f"{one.who} ({one.when})" if one.key in by_key else one.key for one in known)
    inside = "; ".join(f"{one.who}, {one.when}" if one.key in by_key else one.key for one in known)
    notes = re.findall(r"\[([^\]]*)\]", match["notes"])
    after = notes[-1] if notes else ""
    before = notes[0] if len(notes) == 2 else ""
    inside = f"{before} {inside}".strip() + (f", {after}" if after else "")
    return inside if match["kind"] in _BARE else f"({inside})"


def _article(word: str) -> str:
    vowels = _SPOKEN_WITH_VOWEL if word.isupper() and word != "ALE" else "AEIOU"
    return "an" if word[0].upper() in vowels else "a"
