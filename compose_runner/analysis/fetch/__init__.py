"""The stage *fetch*: studyset, annotation and specification, from Compose or from a disk."""
