"""The stage *write*: maps, tables, figures, the report, and the record of what a run wrote."""
