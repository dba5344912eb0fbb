#!/usr/bin/env bash
# Make a virtual environment for one tool, with the Python of the functions' runtime.
#   scripts/tool_environment.sh PYTHON VENV REQUIREMENT...
set -euo pipefail
python=$1 venv=$2
shift 2
if ! "${python:-false}" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
  echo "Building the functions needs Python 3.13, the version of their runtime; say: make PYTHON=/path/to/python3.13 ..." >&2
  exit 1
fi
echo "Installing $1 into $venv (once)"
mkdir -p "$(dirname "$venv")"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
log=$venv/setup.log
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
