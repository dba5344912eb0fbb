"""Bring the statistical maps of an image-based meta-analysis onto this machine, and leave out what is no map.

NiMARE reads maps from files. NeuroStore gives addresses, and which of an image's ``filename`` and ``url`` is the map's
depends on how it came there: from NeuroVault ``url`` is the map and ``filename`` its bare name, from Compose
``filename`` is the map and ``url`` NeuroVault's page about it. A page comes with status 200, so contents are
looked at.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from compose_runner.analysis.fetch.reach import OutOfReachError, Reach
from compose_runner.analysis.select.map_files import SUFFIXES, MapFiles, path_in

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection

    from compose_runner.analysis.select.nifti import MapValues

# NeuroStore's labels and letters, in lower case, and NiMARE's own words
_KINDS = {
    "t map": "t",
    "t": "t",
    "z map": "z",
    "z": "z",
    "univariate-beta map": "beta",
    "u": "beta",
    "multivariate-beta map": "beta",
    "m": "beta",
    "beta map": "beta",
    "beta": "beta",
    "variance map": "varcope",
    "variance": "varcope",
    "v": "varcope",
    "varcope": "varcope",
    "p map (given null hypothesis)": "p",
    "p map": "p",
    "p": "p",
    "se": "se",
    "sd": "sd",
}
# of several maps of one kind, a univariate beta is the cleaner estimate of one contrast
_LESS_WANTED = frozenset({"multivariate-beta map", "m"})

_THREADS = 8

_SUPERSEDED = "another"
OUTSIDE_BRAIN = "no voxel in the brain has a value other than zero"
NO_PROBABILITIES = "its values are not probabilities between 0 and 1; they may be -log10 p"


@dataclass(frozen=True, slots=True)
class StagedMap:
    """What became of one image of one analysis.

    Parameters
    ----------
    study_id, analysis_id, image_id : str
        Which image it is; ``image_id`` may be empty.
    value_type : str
        NeuroStore's label, or ``"untyped"``.
    kind : str or None
        NiMARE's name of the kind of map, None when it has no use for it.
    source : str or None
        Address (or path) it came from, None when there is none that can be fetched.
    path : Path or None
        The file, None when the map is not used.
    reason : str
        Why it is not used; empty when it is.
    values : MapValues or None
        What is known of its values, where there is a file.
    space : str or None
        The label of its space.
    """

    study_id: str
    analysis_id: str
    image_id: str
    value_type: str
    kind: str | None
    source: str | None = None
    path: Path | None = None
    reason: str = ""
    values: MapValues | None = None
    space: str | None = None

    @property
    def superseded(self) -> bool:
        """Whether another map of its kind is used instead."""
        return self.reason.startswith(_SUPERSEDED)


@dataclass(frozen=True, slots=True)
class StagedImages:
    """A studyset whose maps are on this machine.

    Parameters
    ----------
    studyset : dict
        A copy in which every image is a file, at most one of each kind in an analysis.
    maps : tuple of StagedMap
        What became of every image, in the studyset's order.
    directory : Path
        Where the files are; NiMARE writes the maps that it derives there too.
    """

    studyset: dict[str, Any] = field(repr=False)
    maps: tuple[StagedMap, ...]
    directory: Path

    @property
    def used(self) -> int:
        """How many maps there are to compute from."""
        return sum(staged.path is not None for staged in self.maps)


def map_kind(value_type: object) -> str | None:
    """NiMARE's name for a kind of map (``t``, ``z``, ``beta``, ``varcope``, ``p``, ``se``, ``sd``).

    None for what no meta-analysis can use: masks, parcellations, anatomical images, F and chi-squared maps.
    """
    return _KINDS.get(value_type.strip().lower()) if isinstance(value_type, str) else None


def map_source(image: dict[str, Any], reach: Reach | None = None) -> str | None:
    """Address or path of an image's map; None when neither of its two locations can be one.

    Parameters
    ----------
    image : dict
        Of a NIMADS document.
    reach : Reach, optional
        Which files may be read; none by default.

    Raises
    ------
    OutOfReachError
        None of its locations can be one, and one of them is a file that may not be read.
    """
    refused: OutOfReachError | None = None
    for location in (image.get("filename"), image.get("url")):
        if not isinstance(location, str) or not path_in(location).lower().endswith(SUFFIXES):
            continue
        if urlsplit(location).scheme in ("http", "https"):
            return location
        try:
            if (reach or Reach()).local_file(location) is not None:
                return location
        except OutOfReachError as error:
            # a bare name is how NeuroStore keeps the name of a map that is elsewhere
            refused = error if "/" in location or "\\" in location else refused
    if refused is not None:
        raise refused
    return None


def stage_images(
    studyset: dict[str, Any],
    directory: str | os.PathLike[str],
    *,
    only: Collection[str] | None = None,
    reach: Reach | None = None,
    attempts: int = 3,
    threads: int = _THREADS,
    progress: Callable[[int, int], None] | None = None,
) -> StagedImages:
    """Fetch the maps of a studyset, several at a time.

    An image that is no map is left out, with the reason. A service that is out of reach is an error instead: the
    same meta-analysis would otherwise give another result on a bad day.

    Parameters
    ----------
    studyset : dict
        A NIMADS studyset; it is not changed.
    directory : path-like
        Where the files go. What is there already is not fetched again.
    only : collection of str, optional
        The analyses that are wanted (``<analysis>`` or ``<study>-<analysis>``), all by default.
    reach : Reach, optional
        Which files of this machine and which hosts the studyset may name; none by default.
    attempts : int
        Retries of each download.
    threads : int
        How many downloads at a time.
    progress : callable, optional
        Takes how many maps are done and how many there are; called from any thread.

    Raises
    ------
    ServiceUnavailableError
        A map cannot be fetched at present.
    """
    folder = Path(directory).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    reach = reach or Reach()
    tasks = _choices(studyset, only, reach)
    files = MapFiles(folder, attempts, reach)
    done = 0
    lock = threading.Lock()

    def settle(choice: list[_Candidate]) -> list[_Candidate]:
        nonlocal done
        _settle(choice, files)
        with lock:
            done += 1
            if progress is not None:
                progress(done, len(tasks))
        return choice

    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="maps")
    try:
        candidates = [candidate for choice in pool.map(settle, tasks) for candidate in choice]
    finally:
        # after an error or an interruption nothing more is begun, and nothing is waited for
        pool.shutdown(wait=False, cancel_futures=True)
    candidates.sort(key=lambda candidate: candidate.index)
    used = {candidate.index: candidate for candidate in candidates if candidate.path is not None}
    return StagedImages(
        studyset=_with_files(studyset, used),
        maps=tuple(candidate.staged() for candidate in candidates),
        directory=folder,
    )


@dataclass(slots=True)
class _Candidate:
    """One image, its index in the studyset (study, analysis, image), and what is known of it so far."""

    index: tuple[int, int, int]
    study_id: str
    analysis_id: str
    image: dict[str, Any]
    kind: str | None
    source: str | None = None
    path: Path | None = None
    reason: str = ""
    values: MapValues | None = None

    @property
    def label(self) -> str:
        return str(self.image.get("value_type") or "untyped")

    @property
    def image_id(self) -> str:
        return str(self.image.get("id") or "")

    def rank(self) -> tuple[bool, str, tuple[int, int, int]]:
        return self.label.strip().lower() in _LESS_WANTED, self.image_id, self.index

    def staged(self) -> StagedMap:
        return StagedMap(
            self.study_id,
            self.analysis_id,
            self.image_id,
            self.label,
            self.kind,
            self.source,
            self.path,
            self.reason,
            self.values,
            self.image.get("space"),
        )


def _choices(studyset: dict[str, Any], only: Collection[str] | None, reach: Reach) -> list[list[_Candidate]]:
    """Group images by analysis and kind; of each group at most one map will be used."""
    wanted = None if only is None else set(only)
    groups: dict[tuple[int, int, object], list[_Candidate]] = {}
    for s, study in enumerate(studyset.get("studies") or []):
        study_id = str(study.get("id"))
        for a, analysis in enumerate(study.get("analyses") or []):
            analysis_id = str(analysis.get("id"))
            if wanted is not None and not wanted & {analysis_id, f"{study_id}-{analysis_id}"}:
                continue
            for i, image in enumerate(analysis.get("images") or []):
                kind = map_kind(image.get("value_type"))
                candidate = _Candidate((s, a, i), study_id, analysis_id, image, kind)
                try:
                    candidate.source = map_source(image, reach)
                except OutOfReachError as error:
                    candidate.reason = str(error)
                groups.setdefault((s, a, kind or i), []).append(candidate)
    # sorted by what does not depend on the document's order, so that the choice does not either
    return [sorted(group, key=_Candidate.rank) for group in groups.values()]


def _settle(choice: list[_Candidate], files: MapFiles) -> None:
    """Use the first map of a group that is one."""
    chosen: _Candidate | None = None
    for candidate in choice:
        if candidate.kind is None:
            candidate.reason = "no kind of map that a meta-analysis can use"
        elif chosen is not None:
            candidate.reason = f"{_SUPERSEDED} {candidate.kind} map of this analysis is used ({chosen.label})"
        elif candidate.source is None:
            candidate.reason = candidate.reason or "it has no address of a NIfTI file"
        else:
            found = files.get(candidate.source, candidate.image_id)
            candidate.reason = found.reason
            if found.path is None:
                continue
            candidate.values = found.values
            candidate.reason = _unfit(found.values, candidate.kind)
            if not candidate.reason:
                candidate.path = found.path
                chosen = candidate


def _unfit(values: MapValues, kind: str) -> str:
    """Say why a map cannot be of its kind, or cannot add anything; empty when it can."""
    if not values.in_brain:
        return OUTSIDE_BRAIN
    if kind == "p" and not 0 <= values.lowest <= values.highest <= 1:
        return NO_PROBABILITIES
    return ""


def _with_files(studyset: dict[str, Any], used: dict[tuple[int, int, int], _Candidate]) -> dict[str, Any]:
    """Copy a studyset with the files in place of its images; nothing of the original is changed."""

    def images(s: int, a: int, analysis: dict[str, Any]) -> list[dict[str, Any]]:
        kept = []
        for i, image in enumerate(analysis.get("images") or []):
            candidate = used.get((s, a, i))
            if candidate is not None:
                path = str(candidate.path)
                kept.append({**image, "filename": path, "url": path, "value_type": candidate.kind})
        return kept

    return {
        **studyset,
        "studies": [
            {
                **study,
                "analyses": [
                    {**analysis, "images": images(s, a, analysis)}
                    for a, analysis in enumerate(study.get("analyses") or [])
                ],
            }
            for s, study in enumerate(studyset.get("studies") or [])
        ],
    }
