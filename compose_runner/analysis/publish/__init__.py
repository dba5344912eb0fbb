"""The stage *publish*: a result on Neurosynth Compose."""
