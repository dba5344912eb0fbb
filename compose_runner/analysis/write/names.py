"""Studies and their contrasts as a researcher calls them: "Nagamatsu 2016", not an identifier.

Everything here is plain text from documents that anybody can write: escape it where it goes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TITLE_LENGTH = 48
_CONTRAST_LENGTH = 60
_PARTICLES = frozenset(
    {
        "al",
        "ap",
        "bin",
        "da",
        "dal",
        "de",
        "degli",
        "dei",
        "del",
        "della",
        "den",
        "der",
        "des",
        "di",
        "do",
        "dos",
        "du",
        "el",
        "la",
        "las",
        "le",
        "los",
        "ten",
        "ter",
        "van",
        "vom",
        "von",
        "y",
        "zu",
        "zum",
        "zur",
    }
)
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv"})
_INITIALS = re.compile(r"(?:[^\W\d_]\.?-?){1,4}")
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_PMID = re.compile(r"[1-9]\d{0,8}")
_YEAR = re.compile(r"(?:1[89]|20)\d\d")
# what would turn a line round or hide in it: control and format characters
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")


@dataclass(frozen=True)
class Link:
    """An address with a name.

    Parameters
    ----------
    name : str
        ``"DOI"``, ``"PubMed"`` or ``"NeuroStore"``.
    address : str
        Always begins with ``https://``.
    """

    name: str
    address: str


def study_names(studies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name studies by first author and year.

    Parameters
    ----------
    studies : sequence of mapping
        Studies as NeuroStore serves them: ``id``, ``name`` (the title), ``authors``, ``year``.

    Returns
    -------
    dict of str to str
        The name of each study's id. Studies with the same author and year get ``a``, ``b``, in the order of their
        titles and ids; a study without authors is named by its title, or else by its id.
    """
    plain = {str(study.get("id", "")): _author_year(study) for study in studies}
    titles = {str(study.get("id", "")): clean(study.get("name")) for study in studies}
    same: dict[str, list[str]] = {}
    for study_id, name in plain.items():
        same.setdefault(name.casefold(), []).append(study_id)
    names = {}
    for study_id, name in plain.items():
        others = sorted(same[name.casefold()], key=lambda one: (titles[one].casefold(), one))
        names[study_id] = name if len(others) == 1 else _with_letter(name, others.index(study_id))
    return names


def experiment_names(
    studies: Sequence[Mapping[str, Any]], used: Iterable[tuple[str, str]] | None = None
) -> dict[tuple[str, str], str]:
    """Name analyses: by their study alone where it has one, else by study and contrast.

    Parameters
    ----------
    studies : sequence of mapping
        Studies with their ``analyses`` (``id``, ``name``).
    used : iterable of (str, str), optional
        Ids of study and analysis that are part of the meta-analysis; without it, all. Others count for nothing.

    Returns
    -------
    dict of (str, str) to str
        The name of each study's and analysis's id: ``"Nagamatsu 2016"``, ``"Nagel 2011 (Single-task)"``. No two are
        the same.
    """
    names = study_names(studies)
    wanted = None if used is None else set(used)
    result: dict[tuple[str, str], str] = {}
    for study in studies:
        study_id = str(study.get("id", ""))
        contrasts = [
            (str(analysis.get("id", "")), _short(clean(analysis.get("name")), _CONTRAST_LENGTH))
            for analysis in study.get("analyses") or []
            if wanted is None or (study_id, str(analysis.get("id", ""))) in wanted
        ]
        taken: dict[str, int] = {}
        for number, (analysis_id, given) in enumerate(contrasts, start=1):
            if len(contrasts) == 1:
                result[study_id, analysis_id] = names[study_id]
                continue
            contrast = given or f"contrast {number}"
            taken[contrast] = taken.get(contrast, 0) + 1
            again = f", {taken[contrast]}" if taken[contrast] > 1 else ""
            result[study_id, analysis_id] = f"{names[study_id]} ({contrast}{again})"
    return _distinct(result)


def _distinct(names: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """Number what is still called alike, as a study without an author whose title ends like another's contrast."""
    seen: set[str] = set()
    for key, name in names.items():
        candidate, number = name, 2
        while candidate in seen:
            candidate, number = f"{name} [{number}]", number + 1
        seen.add(candidate)
        names[key] = candidate
    return names


def links(study: Mapping[str, Any], neurostore: str = "https://neurostore.org") -> list[Link]:
    """Where a study can be read.

    Parameters
    ----------
    study : mapping
        ``doi``, ``pmid``, ``id`` are looked at. What has not the form of one gives no link.
    neurostore : str
        Address of NeuroStore.
    """
    found = []
    if doi := _DOI.search(clean(study.get("doi"))):
        found.append(Link("DOI", f"https://doi.org/{quote(doi[0].rstrip('.,;'), safe='/')}"))
    if pmid := _PMID.fullmatch(clean(study.get("pmid")).removesuffix(".0")):
        found.append(Link("PubMed", f"https://pubmed.ncbi.nlm.nih.gov/{pmid[0]}/"))
    if re.fullmatch(r"[A-Za-z0-9]{12}", str(study.get("id", ""))):
        found.append(Link("NeuroStore", f"{neurostore}/api/studies/{study['id']}"))
    return found


def first_author(authors: Any) -> str:
    """Find the family name of the first author in the forms that NeuroStore's sources have.

    ``Nagel IE, Li SC``; ``L. Nagamatsu; M. Voss``; ``Rachel M Brown, Virginia B Penhune``; ``Smith, John; Doe, Jane``;
    ``F.T. van Vugt and K. Hartmann``.
    """
    text = re.sub(r"\bet al\b\.?", "", clean(authors))
    separated = re.split(r"\s*;\s*|\s+(?:and|&)\s+", text)
    family_first = len(separated) > 1 and ";" in text and "," in separated[0]
    first = separated[0]
    if family_first or re.fullmatch(r"[^,]+,\s*" + _INITIALS.pattern, first):
        return first.split(",")[0].strip()
    words = first.split(",")[0].split()
    while len(words) > 1 and words[-1].strip(".").casefold() in _SUFFIXES:
        words.pop()
    if len(words) > 1 and _are_initials(words[-1]):  # Nagel IE
        while len(words) > 1 and _are_initials(words[-1]):
            words.pop()
        return " ".join(words)
    last = len(words) - 1
    while last > 1 and words[last - 1].casefold() in _PARTICLES:
        last -= 1
    return " ".join(words[last:]) if words else ""


def _are_initials(word: str) -> bool:
    return word == word.upper() and bool(_INITIALS.fullmatch(word))


def clean(value: Any) -> str:
    """Text of a document on one line, without characters that cannot be seen."""
    if value is None or isinstance(value, (dict, list, tuple)):
        return ""
    return " ".join(_UNSEEN.sub(" ", str(value)).split())


def _author_year(study: Mapping[str, Any]) -> str:
    author = _short(first_author(study.get("authors")), _TITLE_LENGTH)
    year = _YEAR.search(clean(study.get("year")))
    if author:
        return f"{author} {year[0]}" if year else f"{author} (no year)"
    return _short(clean(study.get("name")), _TITLE_LENGTH) or clean(study.get("id")) or "study without a name"


def _with_letter(name: str, place: int) -> str:
    letters = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return f"{name}{letters}" if name[-1:].isdigit() else f"{name} {letters}"


def _short(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    at = cut.rfind(" ")
    return f"{(cut[:at] if at > length // 2 else cut).rstrip(' ,;:-')}…"
