"""Look at everything that a job is about to compute from, before it does; and compare with what it did compute from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.audit import coordinates, images, sample_sizes, studies
from compose_runner.analysis.audit.accounting import account_for, count_used, participants, study_rows
from compose_runner.analysis.audit.annotations import find as find_in_annotation
from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.audit.inputs import EstimatorFoci
from compose_runner.analysis.wording import counted, frequencies
from compose_runner.errors import RefusedInputsError
from compose_runner.findings import Findings, Severity

if TYPE_CHECKING:
    from compose_runner.analysis.audit.inputs import Group, Inputs
    from compose_runner.analysis.compute.coverage import Coverage

log = logging.getLogger(__name__)

_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}


@dataclass
class Audit:
    """What was found out about a job's inputs.

    Parameters
    ----------
    inputs : Inputs
        What was looked at.
    findings : Findings
        What was found.
    accounting : dict
        For each group, how many studies, experiments and foci there are at each stage; see
        :mod:`compose_runner.analysis.audit.accounting`.
    """

    inputs: Inputs = field(repr=False)
    findings: Findings
    accounting: dict[str, dict[str, Any]]
    _used: dict[str, set[str]] = field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Studies, analyses and foci that each group uses."""
        return {
            name: {
                "studies": group["used"]["studies"],
                "analyses": group["used"]["experiments"],
                "foci": group["used"]["foci"],
            }
            for name, group in self.accounting.items()
        }

    def describe(self) -> dict[str, Any]:
        """Give what ``metadata.json`` says of the inputs: ``audit``, ``accounting``, ``studies``, ``counts``."""
        return {
            "audit": self.findings.describe(),
            "accounting": self.accounting,
            "studies": study_rows(self.inputs, self._used),
            "counts": self.counts,
        }

    def log(self) -> None:
        """Say what is used, and every finding that does not end the job, once."""
        for name, count in self.counts.items():
            foci = "" if self.inputs.specification.image_based else f", {counted(count['foci'], 'focus')}"
            studies_, experiments = counted(count["studies"], "study"), counted(count["analyses"], "experiment")
            log.info("The %s group has %s, %s%s%s.", name, studies_, experiments, foci, self._before(name))
        for one in self.findings:
            if one.severity is not Severity.ERROR:
                log.log(_LEVELS[one.severity], "%s", one.message)

    def _before(self, name: str) -> str:
        """Say how many studies of a group were selected, where not all of them are used."""
        group = self.accounting[name]
        selected, used = group["selected"]["studies"], group["used"]["studies"]
        if selected == used:
            return ""
        what = "with_images" if self.inputs.specification.image_based else "with_foci"
        data = "maps" if self.inputs.specification.image_based else "foci"
        return f", of {counted(selected, 'study')} selected and {group[what]['studies']:,} with {data}"

    def refuse(self) -> None:
        """Refuse inputs from which no meaningful result can come.

        Raises
        ------
        RefusedInputsError
            With the sentences of all errors.
        """
        if self.findings.errors:
            raise RefusedInputsError(" ".join(one.message for one in self.findings.errors))

    def confirm(self, estimator: Any, coverage: Coverage | None = None) -> None:
        """Compare what was counted with what a fitted estimator computed from, which counts in the end.

        Parameters
        ----------
        estimator : nimare.estimator.Estimator
            Fitted.
        coverage : Coverage, optional
            What became of the analyses of an image-based meta-analysis.
        """
        before = list(self.findings)
        if coverage is not None:
            self._confirm_images(coverage)
        elif not self.inputs.specification.image_based:
            self._confirm_foci(estimator)
        for one in self.findings:
            if one not in before:
                log.warning("%s", one.message)

    def _confirm_images(self, coverage: Coverage) -> None:
        group = self.inputs.all_groups[0]
        used = [analysis for analysis in coverage.analyses if analysis.included]
        self._used[group.name] = {analysis.study_id for analysis in used}
        ids = {f"{analysis.study_id}-{analysis.analysis_id}" for analysis in used}
        account = self.accounting[group.name]["used"]
        account |= {"studies": len(self._used[group.name]), "experiments": len(used)}
        account["participants"] = participants(self.inputs, group, ids)
        left_out = [analysis for analysis in coverage.analyses if not analysis.included]
        if left_out:
            reasons: dict[str, int] = {}
            for analysis in left_out:
                reasons[analysis.reason] = reasons.get(analysis.reason, 0) + 1
            self.findings.extend(
                [
                    finding(
                        "images-left-out",
                        self.inputs.titles_of_ids([analysis.study_id for analysis in left_out], group),
                        len(left_out),
                        analyses=counted(len(left_out), "analysis"),
                        of=f"{len(coverage.analyses):,}",
                        reasons=frequencies(reasons),
                    )
                ]
            )

    def _confirm_foci(self, estimator: Any) -> None:
        fitted = getattr(estimator, "inputs_", None) or {}
        single = "coordinates" in fitted
        differences = []
        for number, group in enumerate(self.inputs.all_groups, start=1):
            frame = fitted.get("coordinates" if single else f"coordinates{number}")
            if frame is None or "study_id" not in frame.columns:
                continue
            found, account = EstimatorFoci.of(frame, group.studyset.masker), self.accounting[group.name]
            now, counted_before = count_used(found), {name: account["used"][name] for name in count_used(found)}
            if now == counted_before and len(found) == account["foci"]["outside_mask"] + account["foci"]["used"]:
                continue
            differences += [
                f"{now[name]:,} {name} of the {group} instead of {counted_before[name]:,}"
                for name in now
                if now[name] != counted_before[name]
            ] or [f"{counted(len(found), 'focus')} of the {group} in all"]
            account["used"] |= now
            account["foci"]["used"] = now["foci"]
            self._used[group.name] = set(found.study[found.inside].tolist())
        if differences:
            self.findings.extend(
                [finding("result-counts-differ", (), len(differences), differences=", ".join(differences))]
            )


def audit(inputs: Inputs) -> Audit:
    """Look at a job's inputs.

    Parameters
    ----------
    inputs : Inputs
        The documents as they were read, and what was selected.
    """
    accounting = account_for(inputs)
    # what the specification itself gave cause to say comes first
    findings = Findings(getattr(inputs.specification, "findings", ()))
    for found in (
        coordinates.find(inputs),
        studies.find(inputs, accounting),
        sample_sizes.find(inputs),
        find_in_annotation(inputs),
        images.find(inputs),
    ):
        findings.extend(found)
    return Audit(inputs, findings, accounting, {group.name: _used_ids(inputs, group) for group in inputs.all_groups})


def _used_ids(inputs: Inputs, group: Group) -> set[str]:
    if inputs.staged is not None:
        return {one.study_id for one in inputs.staged.maps if one.path is not None}
    return set(group.foci.study[group.foci.inside].tolist())
