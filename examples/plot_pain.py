"""
A meta-analysis of pain, from a bundle to a map
===============================================

A bundle is one JSON document with a studyset, an annotation and a specification, as Neurosynth Compose has them.
Here it is made from 21 studies of pain that come with NiMARE, so that nothing is downloaded.
"""

# %%
# The bundle
# ----------
# The specification asks for ALE and a Monte Carlo correction; FDR takes its place here, because it needs a second.

import json
import tempfile
from pathlib import Path

from compose_runner.local.demo import studies

bundle = studies.bundle_document()
correction = {"method": "indep", "alpha": 0.05}
bundle["specification"]["corrector"] = {"type": "FDRCorrector", "args": correction}

folder = Path(tempfile.mkdtemp())
(folder / "bundle.json").write_text(json.dumps(bundle))
print(json.dumps(bundle["specification"], indent=2))

# %%
# The run
# -------
# :func:`compose_runner.run.run` does what ``compose-run pain --bundle bundle.json`` does. A bundle is never uploaded,
# so there is no address of a result.

from compose_runner.run import run

url, result = run("pain", bundle=folder / "bundle.json", result_dir=folder / "results", report=False)
print(sorted(path.name for path in (folder / "results").iterdir()))

# %%
# The map
# -------
# ``result`` is a :class:`nimare.results.MetaResult`: every map has the name that NiMARE gives it.

from nilearn import plotting

plotting.plot_stat_map(
    result.get_map("z_corr-FDR_method-indep"),
    threshold=1.96,
    cut_coords=(0, 12, 4),
    title="Pain: ALE, q < .05",
)
plotting.show()

# %%
# What went in
# ------------
# ``metadata.json`` records versions, the seed, and how many studies, analyses and coordinates were used.

metadata = json.loads((folder / "results" / "metadata.json").read_text())
print(json.dumps(metadata["counts"], indent=2))
