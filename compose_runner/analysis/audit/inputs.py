"""What the audit looks at: the documents as they were read, and the groups that were selected from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from nimare.utils import mm2vox

from compose_runner.analysis.select.foci import FociAccount
from compose_runner.analysis.wording import title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nimare.nimads import Studyset
    from numpy.typing import NDArray

    from compose_runner.analysis.select.foci import ReadFoci
    from compose_runner.analysis.select.images import StagedImages
    from compose_runner.analysis.select.repeated import MergedStudies
    from compose_runner.analysis.select.sample_sizes import SampleSizes, StatedSize
    from compose_runner.analysis.select.selection import Groups
    from compose_runner.specification.parsing import Specification

Member = tuple[int, int]


@dataclass(frozen=True)
class EstimatorFoci:
    """The foci that an estimator is given, in the space of the template.

    Parameters
    ----------
    xyz : ndarray of shape (n_foci, 3)
        In millimetres.
    study, experiment : ndarray of shape (n_foci,)
        Ids of each focus's study and experiment.
    masker : nilearn.maskers.NiftiMasker
        Of the brain mask.
    """

    xyz: NDArray[Any]
    study: NDArray[Any]
    experiment: NDArray[Any]
    masker: Any

    @classmethod
    def of(cls, frame: Any, masker: Any) -> EstimatorFoci:
        """Take them from NiMARE's table of coordinates; a focus without finite numbers is none."""
        if frame is None or not len(frame):
            return cls(np.zeros((0, 3)), np.zeros(0, dtype=object), np.zeros(0, dtype=object), masker)
        xyz = frame[["x", "y", "z"]].to_numpy(dtype=float)
        finite = np.isfinite(xyz).all(axis=1)
        # objects: there can be 200,000, and each would be copied into the length of the longest
        study, experiment = (frame[name].to_numpy(dtype=object)[finite] for name in ("study_id", "id"))
        return cls(xyz[finite], study, experiment, masker)

    def __len__(self) -> int:
        return len(self.xyz)

    @cached_property
    def _mask(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = np.asarray(self.masker.mask_img.dataobj) > 0
        return mask

    def within(self, xyz: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell of points in millimetres whether each is in a voxel of the mask."""
        mask, inside = self._mask, np.zeros(len(xyz), dtype=bool)
        voxels = np.clip(np.asarray(mm2vox(xyz, self.masker.mask_img.affine)), -1, 1_000_000).astype(int)
        in_volume = ((voxels >= 0) & (voxels < mask.shape)).all(axis=1)
        inside[in_volume] = mask[tuple(voxels[in_volume].T)]
        return inside

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Whether each focus is in a voxel of the mask."""
        return self.within(self.xyz)

    @cached_property
    def by_study(self) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Ids of the studies, and for each focus which of them it belongs to."""
        members, studies = pd.factorize(self.study, sort=True)
        return studies, members

    @cached_property
    def duplicates(self) -> NDArray[np.bool_]:
        """Whether an earlier focus of the same study has exactly the same coordinates."""
        _, members = self.by_study
        # -0.0 and 0.0 are one place
        rows = pd.DataFrame({"study": members, **dict(zip("xyz", self.xyz.T + 0.0, strict=True))})
        again: NDArray[np.bool_] = rows.duplicated().to_numpy()
        return again

    @cached_property
    def extremes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """For each study of :attr:`by_study`, the lowest number of its foci, and the largest by absolute value."""
        studies, members = self.by_study
        lowest, farthest = np.full(len(studies), np.inf), np.zeros(len(studies))
        np.minimum.at(lowest, members, self.xyz.min(axis=1))
        np.maximum.at(farthest, members, np.abs(self.xyz).max(axis=1))
        return lowest, farthest

    def per_study(self, flags: NDArray[Any]) -> NDArray[np.intp]:
        """Count flags in each study, in the order of :attr:`by_study`."""
        studies, members = self.by_study
        return np.bincount(members[flags], minlength=len(studies))


@dataclass(frozen=True)
class Group:
    """One of the groups.

    Parameters
    ----------
    name : {"first", "second"}
        Which.
    studyset : nimare.nimads.Studyset
        As the estimator gets it.
    members : tuple of (int, int)
        Indices of its analyses in the document (study, analysis); none for a reference studyset.
    is_reference : bool
        Whether it is a reference studyset.
    """

    name: str
    studyset: Studyset
    members: tuple[Member, ...]
    is_reference: bool

    @cached_property
    def foci(self) -> EstimatorFoci:
        """Its foci as the estimator gets them."""
        return EstimatorFoci.of(self.studyset.coordinates, self.studyset.masker)

    @cached_property
    def studies(self) -> tuple[int, ...]:
        """Indices of its studies in the document."""
        return tuple(dict.fromkeys(study for study, _ in self.members))

    def __str__(self) -> str:
        return "reference studyset" if self.is_reference else f"{self.name} group"


@dataclass(frozen=True)
class Inputs:
    """Everything that is audited.

    Parameters
    ----------
    merged : MergedStudies
        The studyset, and which studies stood in it more than once.
    foci : ReadFoci
        What was found among its foci.
    sizes : SampleSizes
        What was found of sample sizes; its studyset is the one that was selected from.
    annotation : dict
        As it was served.
    specification : Specification
        What is to be computed.
    groups : Groups
        What was selected.
    staged : StagedImages or None
        The maps, for an image-based meta-analysis.
    """

    merged: MergedStudies
    foci: ReadFoci
    sizes: SampleSizes
    annotation: Mapping[str, Any] = field(repr=False)
    specification: Specification
    groups: Groups
    staged: StagedImages | None = None

    @cached_property
    def studies(self) -> list[dict[str, Any]]:
        """The document's studies, each once."""
        studies: list[dict[str, Any]] = self.merged.studyset.get("studies") or []
        return studies

    @cached_property
    def keys(self) -> dict[Member, tuple[str, str]]:
        """Ids of study and analysis of everything in the document."""
        return {
            (s, a): (str(study.get("id")), str(analysis.get("id")))
            for s, study in enumerate(self.studies)
            for a, analysis in enumerate(study.get("analyses") or [])
        }

    @cached_property
    def all_groups(self) -> tuple[Group, ...]:
        """The groups, with their analyses in the document."""
        members = [tuple(at for at, key in self.keys.items() if key in pairs) for pairs in self.groups.selected]
        found = [Group("first", self.groups.first, members[0], False)]
        if self.groups.second is not None:
            is_reference = len(members) == 1
            found.append(Group("second", self.groups.second, () if is_reference else members[1], is_reference))
        return tuple(found)

    @cached_property
    def selected(self) -> tuple[Member, ...]:
        """What is in any of the groups."""
        return tuple(dict.fromkeys(at for group in self.all_groups for at in group.members))

    @cached_property
    def _title_of_id(self) -> dict[str, str]:
        return {str(study.get("id")): title(study) for study in self.studies}

    def titles(self, indices: Iterable[int]) -> list[str]:
        """Titles of the studies at some indices of the document."""
        return [title(self.studies[index]) for index in dict.fromkeys(indices)]

    def titles_of_ids(self, ids: Iterable[Any], group: Group) -> list[str]:
        """Titles of studies of a group by their ids."""
        if not group.is_reference:
            return [self._title_of_id.get(str(one), str(one)) for one in ids]
        names = {str(study.id): title({"id": study.id, "name": study.name}) for study in group.studyset.studies}
        return [names.get(str(one), str(one)) for one in ids]

    def account(self, members: Iterable[Member]) -> FociAccount:
        """What was found among the foci of some analyses."""
        account = FociAccount()
        for at in members:
            account.add(self.foci.accounts[at])
        return account

    def stated(self, at: Member) -> StatedSize:
        """What is known of an analysis's sample sizes."""
        return self.sizes.stated[at]
