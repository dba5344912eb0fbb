"""The stage *select*: groups of analyses, their sample sizes, their statistical maps."""
