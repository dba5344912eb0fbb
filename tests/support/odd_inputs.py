"""Bundles with odd inputs, and what the audit has to say of each: a case is a change of a good bundle."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support import synthetic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Bundle = dict[str, Any]
STUDIES = 18
OWN_SIZES = {"kernel__fwhm": None, "kernel__sample_size": None}
# so deep in the brain that foci a few millimetres from them are within the mask
CENTRES = ((-36, 18, 4), (36, 18, 4), (2, 12, 42), (-10, -18, 8), (12, -18, 8), (-20, -60, 4))
# nothing of the program's insides in a message; ids of studies, analyses and foci are recognisable
ID = "xq7id"


def good_bundle(n_studies: int = STUDIES, estimator: str = "ALE", args: dict[str, Any] | None = None) -> Bundle:
    """Make a coordinate-based bundle of which nothing has to be said; one analysis of 6 foci in each study."""
    studyset = synthetic.random_studyset(n_studies, analyses_per_study=1, foci_per_analysis=6)
    draw = random.Random(0)
    for i, study in enumerate(studyset["studies"]):
        study |= {"id": f"{ID}-s{i}", "name": f"Pain and the insula, part {i}", "metadata": {}}
        analysis = study["analyses"][0]
        analysis |= {"id": f"{ID}-a{i}", "name": "pain > rest", "metadata": {"sample_sizes": [20 + i]}}
        for k, point in enumerate(analysis["points"]):
            xyz = [round(middle + draw.uniform(-4, 4), 1) for middle in CENTRES[k]]
            point |= {"id": f"{ID}-p{i}-{k}", "coordinates": xyz}
    annotation = synthetic.annotated(studyset)
    for i, note in enumerate(annotation["notes"]):
        note["study_name"] = f"Pain and the insula, part {i}"
    return {
        "studyset": studyset,
        "annotation": annotation,
        "specification": synthetic.specification(estimator, {"kernel__fwhm": 8.0} if args is None else args),
    }


def points(bundle: Bundle, study: int) -> list[dict[str, Any]]:
    """The foci of a study."""
    found: list[dict[str, Any]] = bundle["studyset"]["studies"][study]["analyses"][0]["points"]
    return found


def place(bundle: Bundle, study: int, change: Callable[[list[float]], Any]) -> None:
    """Change the coordinates of all foci of a study."""
    for point in points(bundle, study):
        point["coordinates"] = change(point["coordinates"])


def image_bundle(folder: Path, kinds: tuple[str, ...] = ("z",), n_studies: int = 6) -> Bundle:
    """Make an image-based bundle (Stouffers) of which nothing has to be said."""
    bundle = good_bundle(n_studies)
    bundle["studyset"] = synthetic.with_maps(bundle["studyset"], folder, kinds)
    bundle["specification"] = synthetic.specification("Stouffers", {}, kind="IBMA")
    return bundle


@dataclass(frozen=True)
class Case:
    """A change of the good bundle.

    Parameters
    ----------
    change : callable
        Takes the bundle and changes it.
    codes : set of str
        Every code of the findings.
    foci : dict
        Some of the account of the first group's foci.
    says : tuple of str
        What the messages hold.
    """

    change: Callable[[Bundle], object]
    codes: set[str]
    foci: dict[str, Any]
    says: tuple[str, ...] = ()


CASES: dict[str, Case] = {}


def case(*codes: str, says: tuple[str, ...] = (), **foci: Any) -> Callable[[Callable[[Bundle], object]], Any]:
    """Enter a case under the name of the function that changes the bundle."""

    def enter(change: Callable[[Bundle], object]) -> Callable[[Bundle], object]:
        CASES[change.__name__] = Case(change, set(codes), foci, says)
        return change

    return enter


TOTAL = 6 * STUDIES


# --- coordinates ------------------------------------------------------------------------------------------------------


@case(listed=TOTAL, without_coordinates=0, outside_mask=0, used=TOTAL, spaces={"MNI": TOTAL})
def nothing_odd(_: Bundle) -> None:
    """The good bundle itself."""


@case("coordinates-left-out", "studies-without-foci", without_coordinates=11, used=TOTAL - 11, says=("11 foci of 108",))
def no_three_finite_numbers(bundle: Bundle) -> None:
    values: list[Any] = [None, [], [None, None, None], [10, None, 5], [float("nan"), 0, 0]]
    for point, value in zip(points(bundle, 0), values, strict=False):
        point["coordinates"] = value
    values = [[float("inf"), 0, 0], [True, False, True], [1, 2, 3, 4], ["a", "b", "c"], "somewhere", 1e308]
    for point, value in zip(points(bundle, 1), values, strict=True):
        point["coordinates"] = value


@case("coordinates-left-out", without_coordinates=3, used=TOTAL - 3, says=('(such as ["12mm", 3, 4])',))
def units_in_the_text(bundle: Bundle) -> None:
    for k, value in enumerate((["12mm", 3, 4], {"x": 1, "y": None, "z": 3}, [10**15, 0, 0])):
        points(bundle, 0)[k]["coordinates"] = value


@case("coordinates-read", without_coordinates=0, used=TOTAL, says=("24 foci",))
def numbers_in_texts_and_by_axis(bundle: Bundle) -> None:
    place(bundle, 0, lambda xyz: [f" {value} ".replace("-", "\u2212") for value in xyz])
    place(bundle, 1, lambda xyz: dict(zip("XYZ", xyz, strict=True)))
    place(bundle, 2, lambda xyz: f"({xyz[0]}, {xyz[1]}, {xyz[2]})")
    for point in points(bundle, 3):
        point |= dict(zip("xyz", point.pop("coordinates"), strict=True))


@case("coordinates-nothing-inside", used=0, outside_mask=TOTAL, says=("Not one of the 108 foci",))
def everything_outside(bundle: Bundle) -> None:
    for study in range(STUDIES):
        place(bundle, study, lambda _: [500, 500, 500])


@case("coordinates-outside-mask", "coordinates-mostly-outside", outside_mask=6, used=TOTAL - 6)
def one_study_outside(bundle: Bundle) -> None:
    place(bundle, 0, lambda _: [88, -124, 106])
    for k, point in enumerate(points(bundle, 0)):
        point["coordinates"][2] += k


@case("coordinates-outside-mask", outside_mask=2, used=TOTAL - 2, says=("2 of 108 foci",))
def some_outside(bundle: Bundle) -> None:
    points(bundle, 0)[0]["coordinates"] = [0, 0, 200]
    points(bundle, 1)[0]["coordinates"] = [-900_000, 0, 0]


@case("coordinates-units", used=TOTAL, says=("centimetres",))
def centimetres(bundle: Bundle) -> None:
    place(bundle, 0, lambda xyz: [value / 10 for value in xyz])


@case("coordinates-units", says=("metres",))
def metres(bundle: Bundle) -> None:
    place(bundle, 0, lambda xyz: [value / 1000 for value in xyz])


@case("coordinates-nothing-inside", used=0, says=("tenths of a millimetre",))
def tenths_of_millimetres(bundle: Bundle) -> None:
    for study in range(STUDIES):
        for k, point in enumerate(points(bundle, study)):
            point["coordinates"] = [-360 - 10 * k, 180 + study, 40 + 10 * k]


@case("coordinates-axes", "coordinates-outside-mask", "coordinates-mostly-outside", says=("front and back reversed",))
def front_and_back_reversed(bundle: Bundle) -> None:
    for k, point in enumerate(points(bundle, 0)):
        point["coordinates"] = [-6 + 2 * k, 90 - k, 4 + k]


@case("coordinates-axes", "coordinates-outside-mask", "coordinates-mostly-outside", says=("swapped",))
def two_numbers_swapped(bundle: Bundle) -> None:
    for k, point in enumerate(points(bundle, 0)):
        point["coordinates"] = [-84 + k, -8 + 2 * k, 4 + k]


@case("coordinates-converted", converted=24, taken_as_mni=0, says=("24 foci",))
def talairach_in_any_case(bundle: Bundle) -> None:
    for study, label in enumerate(("tal", "TALAIRACH", " Talairach", "TAL")):
        for point in points(bundle, study):
            point["space"] = label


@case("coordinates-space-unknown", converted=0, taken_as_mni=24, says=("24 foci", '6 "UNKNOWN"', "12 no label"))
def unknown_spaces(bundle: Bundle) -> None:
    for study, label in enumerate(("UNKNOWN", None, "", "fsaverage", "mni152_2mm", "ICBM 152")):
        for point in points(bundle, study):
            point["space"] = label


@case("coordinates-converted", "coordinates-space-mixed", converted=3)
def two_spaces_in_one_study(bundle: Bundle) -> None:
    for point in points(bundle, 0)[::2]:
        point["space"] = "TAL"


@case("coordinates-negative", says=("6 foci",))
def deactivations(bundle: Bundle) -> None:
    for point in points(bundle, 0)[:2]:
        point["deactivation"] = True
    for point in points(bundle, 1)[:2]:
        point["values"] = [{"kind": "T", "value": "-3.2"}, {"kind": "P", "value": -1}]
    for point in points(bundle, 2)[:2]:
        point["kind"] = "Deactivation"
    points(bundle, 3)[0]["values"] = [{"kind": "p", "value": -0.1}, {"kind": "Z", "value": None}]


@case("coordinates-duplicate", duplicates=5, used=TOTAL, says=("5 foci",))
def one_focus_many_times(bundle: Bundle) -> None:
    first = points(bundle, 0)[0]["coordinates"]
    place(bundle, 0, lambda _: list(first))


# --- studies ----------------------------------------------------------------------------------------------------------


@case("studies-without-foci", "studies-too-few", listed=TOTAL - 18, used=TOTAL - 18, says=("2 studies",))
def studies_without_foci(bundle: Bundle) -> None:
    points(bundle, 0).clear()
    bundle["studyset"]["studies"][1]["analyses"] = []
    bundle["studyset"]["studies"][2]["analyses"][0]["points"] = None
    bundle["annotation"]["notes"] = [note for note in bundle["annotation"]["notes"] if note["analysis"] != f"{ID}-a1"]


@case("studies-repeated", listed=TOTAL, used=TOTAL)
def the_same_study_twice(bundle: Bundle) -> None:
    bundle["studyset"]["studies"].append(copy.deepcopy(bundle["studyset"]["studies"][0]))


@case("studies-repeated", listed=TOTAL, used=TOTAL)
def the_same_study_with_its_analyses_apart(bundle: Bundle) -> None:
    study = copy.deepcopy(bundle["studyset"]["studies"][0])
    study["analyses"] = [{**study["analyses"][0], "id": f"{ID}-more", "points": points(bundle, 0)[3:]}]
    bundle["studyset"]["studies"][0]["analyses"][0]["points"] = points(bundle, 0)[:3]
    bundle["studyset"]["studies"].append(study)
    bundle["annotation"]["notes"].append(synthetic.note(f"{ID}-s0", f"{ID}-more", included=True))


@case("studies-same-publication", says=("4 studies",))
def the_same_publication_under_two_ids(bundle: Bundle) -> None:
    studies = bundle["studyset"]["studies"]
    studies[0]["doi"], studies[1]["doi"] = "10.1000/ABC.1", "https://doi.org/10.1000/abc.1"
    studies[2]["pmid"], studies[3]["pmid"] = 12345, "12345"


@case("studies-same-foci", says=("2 studies",))
def the_same_foci_in_two_studies(bundle: Bundle) -> None:
    for point, other in zip(points(bundle, 0), reversed(points(bundle, 1)), strict=True):
        point["coordinates"] = list(other["coordinates"])


@case("studies-too-few", says=("6 experiments", "Eickhoff et al. 2016"))
def few_studies(bundle: Bundle) -> None:
    bundle |= good_bundle(6)


@case("studies-too-few", used=1, says=("1 experiment", "A single one is no meta-analysis"))
def one_focus(bundle: Bundle) -> None:
    bundle |= good_bundle(1)
    del points(bundle, 0)[1:]


@case("studies-too-few", says=("17 to 20 experiments",))
def few_studies_of_another_method(bundle: Bundle) -> None:
    bundle |= good_bundle(6, "MKDADensity", {})


@case("studies-one-dominates", used=TOTAL - 6 + 200)
def one_study_of_many_foci(bundle: Bundle) -> None:
    points(bundle, 0)[:] = [
        {**points(bundle, 0)[0], "coordinates": [-30 + k / 20, 20 - k / 20, 4 + k / 50]} for k in range(200)
    ]


def compared(bundle: Bundle, n_studies: int = 2 * STUDIES, estimator: str = "MKDAChi2") -> Bundle:
    """Make a comparison of the even with the odd studies of the good bundle."""
    bundle |= good_bundle(n_studies)
    bundle["specification"] = synthetic.two_groups(estimator, column="group", conditions=("a", "b"))
    bundle["annotation"] = synthetic.annotated(
        bundle["studyset"], lambda i, _: "ab"[i % 2], column="group", column_type="string"
    )
    return bundle


@case(used=TOTAL)
def two_groups(bundle: Bundle) -> None:
    compared(bundle)


@case("studies-in-both-groups", says=("4 studies in both groups",))
def the_same_studies_in_both_groups(bundle: Bundle) -> None:
    compared(bundle)
    for study in bundle["studyset"]["studies"][0:8:2]:
        again = {**copy.deepcopy(study["analyses"][0]), "id": f"{study['id']}-again"}
        study["analyses"].append(again)
        bundle["annotation"]["notes"].append(synthetic.note(study["id"], again["id"], group="b"))


@case("studies-too-few", says=("The first group has 1 experiment", "The second group has 1 experiment"))
def one_against_one(bundle: Bundle) -> None:
    compared(bundle, 2)


# --- sample sizes -----------------------------------------------------------------------------------------------------


def own_sizes(bundle: Bundle, *metadata: dict[str, Any]) -> None:
    """Let the kernel follow each study's own sample size, and state some of them."""
    bundle["specification"] = synthetic.specification("ALE", OWN_SIZES)
    for study, stated in zip(bundle["studyset"]["studies"], metadata, strict=False):
        study["analyses"][0]["metadata"] = {}
        study["metadata"] = stated


@case(
    "sample-size-missing",
    "sample-size-unread",
    says=("5 of 18 studies", "Fill in sample_size in the annotation", "FWHM"),
)
def sizes_missing(bundle: Bundle) -> None:
    own_sizes(bundle, {}, {"sample_size": None}, {"sample_size": 0}, {"n": "n/a"}, {"n": "~20"})


@case("sample-size-read")
def sizes_in_texts(bundle: Bundle) -> None:
    own_sizes(bundle, *({"sample_size": text} for text in ("20 ", "20 (10F)", "n=20", "1,024", "20.0", "20 subjects")))


@case("sample-size-read")
def sizes_under_other_names(bundle: Bundle) -> None:
    keys = ("subjects", "N", "sampleSize", "Sample Size", "sample_size", "n_subjects")
    own_sizes(bundle, *({key: 48} for key in keys))


@case("sample-size-implausible", says=("20.5", "12,000"))
def sizes_implausible(bundle: Bundle) -> None:
    own_sizes(bundle, {"n": 1}, {"n": 20.5}, {"n": 12_000})


@case("sample-size-missing", "sample-size-unread")
def sizes_absurd(bundle: Bundle) -> None:
    own_sizes(bundle, {"n": 1e300}, {"n": 0.5}, {"n": [10, 12]}, {"sample_sizes": {"patients": 10}}, {"n": True})


@case("sample-size-note-differs", says=("100 instead of 20",))
def sizes_overruled(bundle: Bundle) -> None:
    own_sizes(bundle)
    bundle["annotation"]["notes"][0]["note"]["sample_size"] = 100


@case()
def sizes_not_needed(bundle: Bundle) -> None:
    for study in bundle["studyset"]["studies"]:
        study["analyses"][0]["metadata"] = {"n": "?"}


@case("sample-size-missing", says=("or leave the weighting empty",))
def sizes_as_weights(bundle: Bundle) -> None:
    own_sizes(bundle, {})
    bundle["specification"] = synthetic.specification("MKDADensity", {"weighting": "sample_size"})


# --- annotations ------------------------------------------------------------------------------------------------------


def by_text(bundle: Bundle, *values: Any, conditions: tuple[Any, ...] = ("patients",), kind: str = "string") -> None:
    """Select by a column; the studies beyond ``values`` have the first condition."""
    bundle["annotation"] = synthetic.annotated(
        bundle["studyset"],
        lambda i, _: values[i] if i < len(values) else conditions[0],
        column="group",
        column_type=kind,
    )
    bundle["specification"] |= {"filter": "group", "conditions": list(conditions), "weights": [1.0] * len(conditions)}


@case("annotation-near-values", "studies-too-few", says=("3 analyses", '1 "PATIENTS"', '1 "patients "'))
def values_that_differ_in_case(bundle: Bundle) -> None:
    by_text(bundle, "Patients", "patients ", "PATIENTS", "controls", "patient")


@case("annotation-numbers-as-texts")
def numbers_as_texts(bundle: Bundle) -> None:
    by_text(bundle, 1, 1.0, "1", " 1.0 ", kind="number", conditions=("1",))


@case("annotation-list-values", "studies-too-few", says=("2 analyses",))
def lists_as_values(bundle: Bundle) -> None:
    by_text(bundle, ["patients"], ["patients", "controls"])


@case("annotation-without-note", "studies-too-few", says=("2 analyses",))
def notes_missing(bundle: Bundle) -> None:
    bundle["annotation"]["notes"][0]["note"] = None
    del bundle["annotation"]["notes"][1]


@case("annotation-notes-gone", says=("1 note", "Study gone"))
def notes_of_what_is_gone(bundle: Bundle) -> None:
    bundle["annotation"]["notes"].append(synthetic.note("gone", "gone", included=True))
    bundle["annotation"]["notes"].append({"study": None, "analysis": None, "note": {"included": True}})


@case("annotation-notes-ambiguous", "annotation-without-note", "studies-too-few", says=("2 notes",))
def ambiguous_notes(bundle: Bundle) -> None:
    for study, note in zip(bundle["studyset"]["studies"][:2], bundle["annotation"]["notes"], strict=False):
        study["analyses"][0]["id"] = note["analysis"] = "x"
        del note["study"]


@case("annotation-notes-contradict", says=("the last one counts",))
def contradicting_notes(bundle: Bundle) -> None:
    bundle["annotation"]["notes"].insert(0, synthetic.note(f"{ID}-s0", f"{ID}-a0", included=False))


@case("studies-not-selected", says=("Did you mean 'included '?",))
def column_with_a_blank(bundle: Bundle) -> None:
    bundle["annotation"] = synthetic.annotated(bundle["studyset"], column="included ")


@case("studies-not-selected", says=("Did you mean 'Included'?",))
def column_in_another_case(bundle: Bundle) -> None:
    bundle["annotation"] = synthetic.annotated(bundle["studyset"], column="Included")


@case("studies-not-selected", says=("Did you mean 'Patients'?",))
def condition_in_another_case(bundle: Bundle) -> None:
    by_text(bundle, *["Patients"] * STUDIES)


@case("studies-not-selected", says=("18 notes could not be assigned",))
def only_ambiguous_notes(bundle: Bundle) -> None:
    for study, note in zip(bundle["studyset"]["studies"], bundle["annotation"]["notes"], strict=True):
        study["analyses"][0]["id"] = note["analysis"] = "x"
        del note["study"]


@case("studies-not-selected", says=("A list cannot be matched",))
def only_lists(bundle: Bundle) -> None:
    by_text(bundle, *[["patients"]] * STUDIES)


@case("studies-not-selected", says=("does not have", "no analysis has a note"))
def no_notes(bundle: Bundle) -> None:
    bundle["annotation"] |= {"notes": [], "note_keys": {}}


@case("studies-not-selected", says=("no foci with coordinates",))
def no_focus_at_all(bundle: Bundle) -> None:
    for study in range(STUDIES):
        place(bundle, study, lambda _: [float("nan"), True, None])


@case("annotation-without-note", "studies-too-few", says=("1 analysis",))
def truth_values_of_all_kinds(bundle: Bundle) -> None:
    values = [True, "True", "TRUE ", "yes", "", 0, 1, None, "false", "no"]
    for note, value in zip(bundle["annotation"]["notes"], values, strict=False):
        note["note"]["included"] = value


# --- names ------------------------------------------------------------------------------------------------------------


@case("coordinates-left-out", says=("1 focus",))
def names_of_all_kinds(bundle: Bundle) -> None:
    names = [
        "<script>alert(1)</script>",
        "脑 été",
        "x" * 5000,
        "a\nb\tc",
        '"quotes" {0} {studies}',
        None,
        "",
        "x\u202ey",
    ]
    for study, name in zip(bundle["studyset"]["studies"], names, strict=False):
        study["name"] = study["analyses"][0]["name"] = name
    points(bundle, 4)[0]["coordinates"] = ["{0}", "{studies}", "%s"]
