"""What makes a small job fast: imports that wait, garbage that stays, maps and tables without whole-volume passes."""
