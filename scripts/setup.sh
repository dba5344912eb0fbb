#!/usr/bin/env bash
# Make the virtual environment: versions pinned by name, byte code and Monte Carlo kernels compiled.
#   scripts/setup.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2
if [ -z "$python" ]; then
  echo "compose-runner needs Python 3.11, 3.12 or 3.13; none was found. Install one, or say: make PYTHON=/path/to/python3.13" >&2
  exit 1
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$python is older than 3.11" >&2; exit 1; }
echo "Making $venv with $("$python" --version) (about three minutes and 1.5 GB the first time)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
log=$venv/setup.log
run() { "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }; }
# the pins were made on 3.13; other versions take what their wheels allow
pins=()
"$venv/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' && pins=(-c constraints.txt)
run "$venv/bin/python" -m pip install --disable-pip-version-check "${pins[@]}" -e '.[dev]'
run "$venv/bin/python" -m compose_runner.analysis.engine.warm
echo "Ready."
