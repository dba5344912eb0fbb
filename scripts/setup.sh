#!/usr/bin/env bash
# Make the virtual environment: pinned versions, the project itself, compiled Monte Carlo kernels.
#   scripts/setup.sh PYTHON VENV
set -euo pipefail
source scripts/environment.sh
python=$1 venv=$2
if [ -z "$python" ]; then
  echo "compose-runner needs Python 3.11, 3.12 or 3.13; none was found. Install one, or say: make PYTHON=/path/to/python3.13" >&2
  exit 1
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$python is older than 3.11" >&2; exit 1; }
echo "1/3 $venv with $("$python" --version) (1.5 GB)"
make_environment "$python" "$venv"
echo "2/3 $(grep -c '==' requirements/development.txt) packages"
install "$venv" --require-hashes --requirement requirements/development.txt
install "$venv" --no-deps --no-build-isolation --editable .
echo "3/3 Monte Carlo kernels (half a minute)"
"$venv/bin/python" scripts/warm_kernels.py
echo "Ready."
