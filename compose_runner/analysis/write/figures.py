"""Which figures a report has, and how NiMARE draws each (:mod:`nimare.reports.figures`).

NiMARE's own report draws them all in one go, so that the first that cannot be drawn takes the others with it; and its
summaries hold ids as markup. Here each figure is a drawing of its own, what is text is written by us, and names reach a
figure as labels that are escaped for it.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.compute.thresholds import threshold as find_threshold
from compose_runner.analysis.write.figure_labels import AXIS_LENGTH, LONGEST, for_matplotlib, for_plotly, labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nimare.results import MetaResult

_HEATMAP = "One row for each experiment, one column for each cluster: "
_CONTRIBUTIONS = {
    "FocusCounter": "the number of its foci in the cluster.",
    "Jackknife": "the share of the cluster's summary statistic that is lost without it.",
}
_DESCRIPTIVE = "The map is not corrected for multiple comparisons: its clusters are descriptive."
_INPUT_MAPS = {"z_maps": "Z", "t_maps": "T", "beta_maps": "Beta"}
_MATPLOTLIB: dict[Any, Any] = {"savefig.bbox": "tight", "savefig.dpi": 100}


@dataclass
class Figure:
    """One figure of the page.

    Parameters
    ----------
    title : str
        Its heading.
    kind : {"picture", "frame", "table", "list", "note", "problem"}
        What ``content`` is: a picture (base64), an interactive document for a frame of its own, rows (the first are the
        names of the columns), texts, a text, why there is no figure.
    content : str or list
        As ``kind`` says. Texts are not escaped; the page does that.
    caption : str
        Below the heading.
    folded : bool
        Whether it is folded away at first.
    """

    title: str
    kind: str
    content: Any
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class DrawnFile:
    """A file that a drawing writes, ``.png`` or ``.html``, and how the page shows it."""

    name: str
    title: str
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure that is yet to be drawn.

    Parameters
    ----------
    files : sequence of DrawnFile
        What it writes.
    draw : callable
        Takes the paths of the files, in their order.
    """

    files: Sequence[DrawnFile]
    draw: Callable[..., object]

    def __call__(self, folder: Path) -> None:
        """Draw, into a folder."""
        with drawing_quietly():
            self.draw(*(folder / file.name for file in self.files))


@dataclass
class Section:
    """A headed group of figures; those that are yet to be drawn are drawings."""

    title: str
    anchor: str
    figures: list[Figure | Drawing] = field(default_factory=list)


@contextmanager
def _keeping_matplotlib() -> Iterator[None]:
    """Leave backend and settings of matplotlib, which belong to the caller, as they were."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    backend = mpl.get_backend()
    try:
        with mpl.rc_context():
            yield
    finally:
        if mpl.get_backend().lower() != backend.lower():
            plt.switch_backend(backend)


@contextmanager
def drawing_quietly() -> Iterator[None]:
    """Figures are files: no display, none of them left open when drawing fails, no warnings about axes and colours."""
    import matplotlib.pyplot as plt

    with _keeping_matplotlib(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plt.switch_backend("agg")
        plt.rcParams.update(_MATPLOTLIB)
        others = set(plt.get_fignums())
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - others:
                plt.close(number)


def nimare_figures() -> Any:
    """Import NiMARE's figures, which sets matplotlib up for itself, and leave matplotlib as it was."""
    with _keeping_matplotlib():
        import nimare.reports.figures

        return nimare.reports.figures


def map_section(result: MetaResult, diagnostic: Any, number: int) -> Section:
    """Say what is shown of a described map: the map, its clusters, the contributions to them.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result.
    diagnostic : nimare.diagnostics.Diagnostics
        What described the map.
    number : int
        Which one it is, which begins the names of its files.
    """
    draw = nimare_figures()
    target, stem = diagnostic.target_image, f"map-{number}_"
    threshold = diagnostic.target_threshold or 0
    rule = find_threshold(result, target)
    section = Section(title=f"Result: {target}", anchor=f"map-{number}")
    if (abs(result.maps[target]) > threshold).any():
        section.figures += [
            Drawing(
                [DrawnFile(f"{stem}corrector_figure-static.png", "Map", f"Voxels with {rule}: |z| > {threshold:.3f}")],
                lambda path: draw.plot_static_brain(result.get_map(target), path, threshold),
            ),
            Drawing(
                [
                    DrawnFile(
                        f"{stem}corrector_figure-interactive.html", "Explore the map", "Click in the slices to move."
                    )
                ],
                lambda path: draw.plot_interactive_brain(result.get_map(target), path, threshold, quality="low"),
            ),
        ]
    else:
        section.figures.append(Figure("Map", "note", f"No voxel has {rule}."))
    if not rule.corrected:
        section.figures.insert(0, Figure("Not corrected", "note", _DESCRIPTIVE))
    section.figures += _cluster_figures(draw, result, diagnostic, stem)
    return section


def _cluster_figures(draw: Any, result: MetaResult, diagnostic: Any, stem: str) -> list[Figure | Drawing]:
    target, name = diagnostic.target_image, type(diagnostic).__name__
    title = "Clusters and their peaks"
    clusters = result.tables.get(f"{target}_tab-clust")
    if clusters is None:
        return [Figure(title, "problem", "The table of clusters could not be made.")]
    if clusters.empty:
        return [Figure(title, "note", f"No clusters were found at {find_threshold(result, target)}.")]
    values = "z before the correction" if "_level-cluster_corr-" in target else "z of the map"
    size = f"Clusters of at least {diagnostic.cluster_threshold} voxels. " if diagnostic.cluster_threshold else ""
    caption = f"{size}Coordinates in MNI space, in mm; Peak Stat is the {values}."
    figures: list[Figure | Drawing] = [Figure(title, "table", _cluster_rows(clusters), caption)]
    described = "_".join(target.split("_")[1:])
    for tail in ("positive", "negative"):
        label_map = f"label_{described}_tail-{tail}" if described else f"label_tail-{tail}"
        if result.maps.get(label_map) is not None:
            file = DrawnFile(f"{stem}diagnostics_tail-{tail}_figure.png", f"Clusters, {tail} tail")
            figures.append(Drawing([file], partial(_draw_clusters, draw, result, label_map)))
    # a coordinate-based result has a table for each tail, an image-based one has one for both
    for ending in ("_tail-positive", "_tail-negative", ""):
        table = result.tables.get(f"{target}_diag-{name}_tab-counts{ending}")
        if table is not None and not table.empty:
            file = DrawnFile(
                f"{stem}diagnostics_diag-{name}_tab-counts{ending}_figure.html",
                "Contributions of the experiments",
                _HEATMAP + _CONTRIBUTIONS.get(name, "how much it contributes."),
            )
            figures.append(Drawing([file], partial(_draw_contributions, draw, table)))
    return figures


def _cluster_rows(table: Any) -> list[list[str]]:
    """The rows of a table of clusters, whose ids begin with the tail."""
    rows = [["Tail", "Cluster ID", *(str(name) for name in table.columns if name != "Cluster ID")]]
    for row in table.to_dict("records"):
        tail, _, identity = str(row.pop("Cluster ID")).partition(" ")
        cells = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row.values())
        rows.append([tail.removesuffix("Tail"), identity, *cells])
    return rows


def _draw_clusters(draw: Any, result: MetaResult, name: str, path: Path) -> None:
    draw.plot_clusters(result.get_map(name), path)


def _draw_contributions(draw: Any, table: Any, path: Path) -> None:
    table = table.set_index("id")
    # NiMARE cuts the labels of a matrix that it sorts
    longest = AXIS_LENGTH if min(table.shape) > 2 else LONGEST
    table.index = labels(table.index, for_plotly, longest)
    draw.plot_heatmap(table, path, zmin=0)


def study_sections(result: MetaResult) -> list[Section]:
    """Say what is shown of the studies, for each group.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result.
    """
    from nimare.meta.cbma.base import CBMAEstimator, PairwiseCBMAEstimator

    estimator = result.estimator
    if isinstance(estimator, PairwiseCBMAEstimator):
        groups = [(estimator.dataset1, estimator.inputs_["id1"]), (estimator.dataset2, estimator.inputs_["id2"])]
    else:
        groups = [(estimator.dataset, estimator.inputs_["id"])]
    draw = nimare_figures()
    sections = []
    for number, (studies, used) in enumerate(groups, start=1):
        title = f"Studies of group {number}" if len(groups) > 1 else "Studies"
        section = Section(title, f"studies-{number}")
        stem = f"preliminary_dset-{number}_"
        coordinates = isinstance(estimator, CBMAEstimator)
        section.figures += _summary(studies, used, coordinates)
        if coordinates:
            section.figures.append(_peaks(draw, studies, stem))
        else:
            section.figures += _image_figures(draw, result, studies, stem)
        mask = DrawnFile(f"{stem}figure-mask.png", "Mask", folded=True)
        section.figures.append(Drawing([mask], partial(_draw_mask, draw, studies)))
        sections.append(section)
    return sections


def _summary(studies: Any, used: Sequence[str], coordinates: bool) -> list[Figure | Drawing]:
    known = {str(identity) for identity in used}
    if coordinates:
        inside = studies.slice(studies.get_studies_by_mask(studies.masker.mask_img))
        n_foci = studies.coordinates.shape[0]
        lines = [
            f"Studies: {studies.coordinates['study_id'].nunique()}",
            f"Experiments: {len(studies.ids)}",
            f"Experiments included: {len(inside.ids)}",
            f"Foci: {n_foci}",
            f"Foci outside the mask: {n_foci - inside.coordinates.shape[0]}",
        ]
    else:
        images = studies.images
        kinds = [
            str(name)
            for name in images
            if not str(name).endswith("__relative") and name not in ("id", "study_id", "contrast_id")
        ]
        lines = [
            f"Studies: {images['study_id'].nunique()}",
            f"Images: {len(studies.ids)}",
            f"Images included: {len(used)}",
            f"Kinds of maps: {', '.join(kinds)}",
        ]
    figures: list[Figure | Drawing] = [Figure("Summary", "list", lines)]
    if excluded := [str(identity) for identity in studies.ids if str(identity) not in known]:
        figures.append(Figure("Experiments excluded", "list", excluded, folded=True))
    return figures


def _peaks(draw: Any, studies: Any, stem: str) -> Drawing:
    def peaks(*paths: Path) -> None:
        coordinates = studies.coordinates.copy()
        names = list(dict.fromkeys(coordinates["study_id"]))
        shown = dict(zip(names, labels(names, for_matplotlib), strict=True))
        coordinates["study_id"] = [shown[name] for name in coordinates["study_id"]]
        still, interactive, legend = paths
        draw.plot_coordinates(coordinates, still, interactive, legend)

    return Drawing(
        [
            DrawnFile(f"{stem}figure-static.png", "Peak coordinates"),
            DrawnFile(f"{stem}figure-interactive.html", "Explore the peaks", folded=True),
            DrawnFile(f"{stem}figure-legend.png", "Colours of the studies", folded=True),
        ],
        peaks,
    )


def _draw_mask(draw: Any, studies: Any, path: Path) -> None:
    draw.plot_mask(studies.masker.mask_img, path)


def _image_figures(draw: Any, result: MetaResult, studies: Any, stem: str) -> list[Drawing]:
    estimator = result.estimator

    def input_maps() -> tuple[str, Any]:
        kind = next((kind for kind in _INPUT_MAPS if kind in estimator.inputs_), "beta_maps")
        return _INPUT_MAPS[kind], estimator.inputs_[kind]

    def names(longest: int = LONGEST) -> list[str]:
        from nimare.reports.base import _map_ids_to_display_names

        ids = list(estimator.inputs_["id"])
        known = _map_ids_to_display_names(studies, ids)
        return labels((known.get(identity, identity) for identity in ids), for_plotly, longest)

    def coverage(path: Path) -> None:
        draw._plot_relcov_map(input_maps()[1], estimator.masker, path)

    def degrees_of_freedom(path: Path) -> None:
        draw._plot_dof_map(result.get_map("dof"), path)

    def ridges(path: Path) -> None:
        quantity, maps = input_maps()
        draw._plot_ridgeplot(maps, names(AXIS_LENGTH), quantity, path)

    def valid_voxels(path: Path) -> None:
        draw._plot_true_voxels(input_maps()[1], names(AXIS_LENGTH), path)

    def statistics(path: Path) -> None:
        draw._plot_sumstats(input_maps()[1], names(), path)

    def similarity(path: Path) -> None:
        import numpy as np
        import pandas as pd

        correlations = estimator.inputs_["corr_matrix"]
        if correlations is None:
            maps = input_maps()[1]
            correlations = np.corrcoef(
                maps[:, estimator.inputs_["aggressive_mask"]] if estimator.aggressive_mask else maps, rowvar=True
            )
        shown = names(AXIS_LENGTH if len(correlations) > 2 else LONGEST)
        table = pd.DataFrame(index=shown, columns=shown, data=correlations)
        draw.plot_heatmap(table, path, symmetric=True, cmap="RdBu_r", zmin=-1, zmax=1)

    extent = (
        Drawing([DrawnFile(f"{stem}figure-relcov.png", "Coverage")], coverage)
        if estimator.aggressive_mask
        else Drawing([DrawnFile(f"{stem}figure-dof.png", "Degrees of freedom")], degrees_of_freedom)
    )
    return [
        extent,
        Drawing([DrawnFile(f"{stem}figure-truevoxels.html", "Valid voxels", folded=True)], valid_voxels),
        Drawing([DrawnFile(f"{stem}figure-ridgeplot.html", "Distribution of values")], ridges),
        Drawing([DrawnFile(f"{stem}figure-summarystats.html", "Summary statistics", folded=True)], statistics),
        Drawing([DrawnFile(f"{stem}figure-similarity.html", "Similarity of the input maps")], similarity),
    ]


def parameter_section(result: MetaResult) -> Section:
    """Say with which parameters estimator and corrector computed.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result.
    """
    from nimare.reports.base import PARAMETERS_DICT as NAMES

    section = Section("Parameters", "parameters")
    estimator = result.estimator
    lines = [f"Estimator: {type(estimator).__name__}"]
    lines += [f"{NAMES.get(name, name)}: {value}" for name, value in estimator.get_params().items()]
    section.figures.append(Figure("Estimator", "list", lines))
    corrector = result.corrector
    if corrector is None:
        lines = ["No correction for multiple comparisons"]
    else:
        kind = corrector._correction_method
        parameters = {**corrector.get_params(), **corrector.parameters}
        lines = [f"Correction: {NAMES.get(kind, kind)}"]
        lines += [f"{NAMES.get(name, name)}: {value}" for name, value in parameters.items()]
    section.figures.append(Figure("Corrector", "list", lines))
    return section
