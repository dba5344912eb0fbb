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
# ``run()`` does what ``compose-run pain --bundle bundle.json`` does. In a notebook it shows its
# progress, and its result as a card. ``report=True``, the default, also writes ``report.html``, which has everything
# that the card shows and a viewer. A bundle is never uploaded, so there is no address of a result.

from compose_runner.run import run

outcome = run("pain", bundle=folder / "bundle.json", result_dir=folder / "results", report=False)
outcome

# %%
# The map
# -------
# The outcome unpacks as ``url, result``. ``result`` is a ``nimare.results.MetaResult``: every map has the name that
# NiMARE gives it.

from nilearn import plotting

url, result = outcome
plotting.plot_stat_map(
    result.get_map("z_corr-FDR_method-indep"),
    threshold=1.96,
    cut_coords=(0, 12, 4),
    title="Pain: ALE, q < .05",
)
plotting.show()

# %%
# The files
# ---------
# ``README.txt`` says which files to open first, and what each one is. What NiMARE said on the way is in ``run.log``.

print((folder / "results" / "README.txt").read_text()[:1000])

# %%
# What went in
# ------------
# ``metadata.json`` records versions, the seed, and how many studies, analyses and coordinates were used.

metadata = json.loads((folder / "results" / "metadata.json").read_text())
print(json.dumps(metadata["counts"], indent=2))

# %%
# Your own meta-analysis
# ----------------------
# A meta-analysis of Neurosynth Compose runs by its id, or by the address of its page. ``no_upload=True`` keeps the
# result on this machine; ``compose-runner publish results`` publishes it once you have looked at it::
#
#     run("https://compose.neurosynth.org/meta-analyses/YOUR_ID", no_upload=True)
