"""The report: one HTML file with every map, table and text in it, which opens from a disk or from S3 without a network.

It says nothing that it counts itself: numbers come from the record of the run (``metadata.json``) and from what was
computed. Names, ids and values come from documents that anybody may have written: the templates escape them, and the
page's content security policy runs the scripts that the page was made with, and lets nothing be fetched.

:func:`compose_runner.analysis.write.report.writing.write_report` writes it.
"""
