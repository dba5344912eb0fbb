"""Documents as Compose and NeuroStore serve them, small and made from a seed, for every test that needs some.

Plain dicts of the standard library; only :func:`with_maps` needs NumPy and nibabel.
"""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

Document = dict[str, Any]
Focus = tuple[float, float, float]

# well inside the grey matter of MNI152: insulae, cingulate, thalami, visual and motor cortex
CENTRES: tuple[Focus, ...] = (
    (-36.0, 18.0, 4.0),
    (38.0, 18.0, 4.0),
    (2.0, 12.0, 42.0),
    (-10.0, -18.0, 8.0),
    (12.0, -18.0, 8.0),
    (-8.0, -84.0, 4.0),
    (40.0, -22.0, 54.0),
)
SPREAD_MM = 6.0

# what NeuroStore calls the maps that NiMARE calls t, z, beta, varcope and p
MAP_TYPES = {
    "t": "T map",
    "z": "Z map",
    "beta": "univariate-beta map",
    "varcope": "variance map",
    "p": "P map (given null hypothesis)",
}


def foci(count: int, seed: int = 0, centres: Sequence[Focus] = CENTRES) -> list[Focus]:
    """Draw foci around a few centres, in MNI millimetres."""
    draw = random.Random(seed)
    return [
        (
            round(x + draw.gauss(0.0, SPREAD_MM), 1),
            round(y + draw.gauss(0.0, SPREAD_MM), 1),
            round(z + draw.gauss(0.0, SPREAD_MM), 1),
        )
        for x, y, z in (draw.choice(centres) for _ in range(count))
    ]


def analysis(
    analysis_id: str,
    coordinates: Iterable[Sequence[float]] = (),
    *,
    metadata: Mapping[str, Any] | None = None,
    images: Iterable[Document] = (),
    space: str | None = "MNI",
) -> Document:
    """Make one analysis (contrast) out of its foci."""
    return {
        "id": analysis_id,
        "name": f"contrast {analysis_id}",
        "description": None,
        "metadata": dict(metadata or {}),
        "conditions": [],
        "weights": [],
        "points": [
            {
                "id": f"{analysis_id}-{index}",
                "coordinates": list(xyz),
                "kind": None,
                "space": space,
                "image": None,
                "label_id": None,
                "values": [],
            }
            for index, xyz in enumerate(coordinates)
        ],
        "images": [dict(image) for image in images],
    }


def study(study_id: str, analyses: Iterable[Document], *, metadata: Mapping[str, Any] | None = None) -> Document:
    """Make one study out of its analyses."""
    return {
        "id": study_id,
        "name": f"Study {study_id}",
        "description": None,
        "publication": "Journal of Synthetic Brains",
        "doi": None,
        "pmid": None,
        "authors": "A. Author; B. Author",
        "year": 2020,
        "metadata": dict(metadata or {}),
        "analyses": list(analyses),
    }


def studyset(studies: Iterable[Document], studyset_id: str = "synthetic") -> Document:
    """Make a studyset out of its studies."""
    return {"id": studyset_id, "name": f"Studyset {studyset_id}", "studies": list(studies)}


def random_studyset(
    n_studies: int = 8,
    *,
    analyses_per_study: int = 2,
    foci_per_analysis: int = 4,
    sample_sizes: bool = True,
    seed: int = 0,
    studyset_id: str = "synthetic",
    centres: Sequence[Focus] = CENTRES,
) -> Document:
    """Make a studyset: studies ``s0``, ``s1``, with analyses ``s0a0``, ``s0a1``, and sample sizes 12, 13."""
    return studyset(
        (
            study(
                f"s{i}",
                [
                    analysis(
                        f"s{i}a{j}",
                        foci(foci_per_analysis, seed=seed * 1_000_003 + i * 1_009 + j, centres=centres),
                        metadata={"sample_sizes": [12 + i]} if sample_sizes else None,
                    )
                    for j in range(analyses_per_study)
                ],
            )
            for i in range(n_studies)
        ),
        studyset_id,
    )


def note(study_id: str, analysis_id: str, **values: Any) -> Document:
    """Make the note that an annotation keeps about one analysis."""
    return {
        "study": study_id,
        "analysis": analysis_id,
        "study_name": f"Study {study_id}",
        "analysis_name": f"contrast {analysis_id}",
        "note": values,
    }


def annotation(
    notes: Iterable[Document],
    note_keys: Mapping[str, Any],
    *,
    annotation_id: str = "notes",
    studyset_id: str = "synthetic",
) -> Document:
    """Make an annotation out of notes and the columns' types (``"boolean"`` or ``{"type": "boolean"}``)."""
    return {
        "id": annotation_id,
        "name": f"Annotation {annotation_id}",
        "studyset": studyset_id,
        "note_keys": dict(note_keys),
        "notes": list(notes),
    }


def annotated(
    document: Document,
    value_of: Callable[[int, int], Any] = lambda _study, _analysis: True,
    *,
    column: str = "included",
    column_type: Any = None,
) -> Document:
    """Make an annotation with one column for every analysis of a studyset.

    Parameters
    ----------
    document : dict
        The studyset.
    value_of : callable
        Takes the places of study and analysis, gives the note's value.
    column : str
        The column's name.
    column_type : str or dict, optional
        What ``note_keys`` says of it; a boolean column in today's form by default.
    """
    return annotation(
        (
            note(one["id"], other["id"], **{column: value_of(i, j)})
            for i, one in enumerate(document["studies"])
            for j, other in enumerate(one["analyses"])
        ),
        {column: column_type or {"type": "boolean", "order": 0, "default": True}},
        studyset_id=document["id"],
    )


def specification(
    estimator: str = "MKDADensity",
    args: Mapping[str, Any] | None = None,
    *,
    kind: str = "CBMA",
    corrector: str | None = None,
    corrector_args: Mapping[str, Any] | None = None,
    column: str = "included",
    conditions: Sequence[Any] | None = ("true",),
    weights: Sequence[float] | None = (1.0,),
    database_studyset: str | None = None,
) -> Document:
    """Make a specification as Compose stores it."""
    return {
        "id": "synthetic-specification",
        "type": kind,
        "estimator": {"type": estimator, "args": {"**kwargs": {}, **(args or {})}},
        "corrector": None if corrector is None else {"type": corrector, "args": dict(corrector_args or {})},
        "filter": column,
        "conditions": None if conditions is None else list(conditions),
        "weights": None if weights is None else list(weights),
        "database_studyset": database_studyset,
        "mask": None,
        "transformer": None,
    }


def two_groups(estimator: str = "MKDAChi2", args: Mapping[str, Any] | None = None, **more: Any) -> Document:
    """Make a specification that compares the true notes (first group) with the false ones (second group)."""
    return specification(estimator, args, **{"conditions": ("true", "false"), "weights": (1.0, -1.0), **more})


def with_maps(
    document: Document,
    folder: Path,
    kinds: Iterable[str] = ("t", "z", "beta", "varcope"),
    *,
    value_types: Mapping[str, str] = MAP_TYPES,
    voxel_mm: float = 8.0,
    seed: int = 0,
) -> Document:
    """Copy a studyset and give every analysis statistical maps that exist as NIfTI files.

    Parameters
    ----------
    document : dict
        The studyset; it is not changed.
    folder : Path
        Where the files are written, as ``<study>-<analysis>_<kind>.nii.gz``; each image's ``filename`` and
        ``url`` is that path.
    kinds : iterable of str
        NiMARE's names: ``t``, ``z``, ``beta``, ``varcope``, ``p``.
    value_types : mapping
        What ``value_type`` says for each kind: NeuroStore's label by default; ``{}`` keeps NiMARE's.
    voxel_mm : float
        Edge of a voxel; coarse maps keep tests fast.
    seed : int
        Seed of the noise around an effect that all maps share.
    """
    import nibabel
    import numpy as np

    document = copy.deepcopy(document)
    folder.mkdir(parents=True, exist_ok=True)
    shape = tuple(int(np.ceil(extent / voxel_mm)) + 1 for extent in (196.0, 232.0, 196.0))
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = (-98.0, -134.0, -80.0)
    draw = np.random.default_rng(seed)
    effect = draw.normal(0.0, 0.4, shape)
    for one in document["studies"]:
        for other in one["analyses"]:
            size = float((other["metadata"].get("sample_sizes") or [20.0])[0])
            varcope = draw.uniform(0.5, 1.5, shape) / size
            beta = effect + draw.normal(0.0, 1.0, shape) * np.sqrt(varcope)
            z = beta / np.sqrt(varcope)
            maps = {"beta": beta, "varcope": varcope, "t": z, "z": z, "p": np.exp(-np.abs(z)).clip(1e-6, 1.0)}
            for kind in kinds:
                path = folder / f"{one['id']}-{other['id']}_{kind}.nii.gz"
                nibabel.Nifti1Image(maps[kind].astype(np.float32), affine).to_filename(path)
                other["images"].append(
                    {
                        "id": f"{other['id']}-{kind}",
                        "url": str(path),
                        "filename": str(path),
                        "space": "MNI",
                        "value_type": value_types.get(kind, kind),
                    }
                )
    return document
