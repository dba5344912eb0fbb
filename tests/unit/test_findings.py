from __future__ import annotations

from compose_runner.findings import Findings, Severity


def test_a_finding_that_was_made_twice_is_listed_once() -> None:
    findings = Findings()
    for _ in range(2):
        findings.add(Severity.WARNING, "few-experiments", "There are 3 experiments.", count=3)

    assert len(findings) == 1


def test_the_gravest_come_first_and_the_others_keep_their_order() -> None:
    findings = Findings()
    findings.add(Severity.NOTE, "converted", "Foci were converted.", count=2)
    findings.add(Severity.WARNING, "duplicate", "A study is listed twice.", ["A"], 2)
    findings.add(Severity.ERROR, "outside", "All foci are outside.", count=9)
    findings.add(Severity.WARNING, "few", "There are few.", count=3)

    assert [one["code"] for one in findings.describe()] == ["outside", "duplicate", "few", "converted"]
    assert findings.describe()[1] == {
        "severity": "warning",
        "code": "duplicate",
        "message": "A study is listed twice.",
        "studies": ["A"],
        "count": 2,
    }
    assert [one.code for one in findings.errors] == ["outside"]
