"""`make demo`: run a real meta-analysis of 21 studies of pain, and say where its report is."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from compose_runner import demo

RESULTS = Path("demo-results")


def main() -> int:
    """Run the demo's bundle with the command that a user would type, and print the peaks it found."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.json"
        bundle.write_text(json.dumps(demo.bundle_document()), encoding="utf-8")
        command = ["compose-run", demo.META_ANALYSIS_ID, "--bundle", str(bundle), "--result-dir", str(RESULTS)]
        print("$", " ".join(command), file=sys.stderr)
        status = subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=False).returncode
    if status:
        return status
    (table,) = RESULTS.glob("*_tab-clust.tsv")
    with table.open(encoding="utf-8") as file:
        peaks = [row for row in csv.DictReader(file, delimiter="\t") if row["Cluster Size (mm3)"]]
    print(f"\n{len(peaks)} clusters of convergence between 21 studies of pain (MNI coordinates of their peaks):")
    for peak in peaks:
        x, y, z = (float(peak[axis]) for axis in "XYZ")
        print(f"  {x:6.0f} {y:6.0f} {z:6.0f}   z = {float(peak['Peak Stat']):.2f}   {peak['Cluster Size (mm3)']} mm³")
    print(f"\nReport: {(RESULTS / 'report.html').resolve().as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
