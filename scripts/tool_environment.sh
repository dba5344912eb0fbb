#!/usr/bin/env bash
# Make a virtual environment for one tool, with the Python of the functions' runtime.
#   scripts/tool_environment.sh PYTHON VENV REQUIREMENTS
set -euo pipefail
source scripts/environment.sh
python=$1 venv=$2 requirements=$3
if ! "${python:-false}" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
  echo "Building the functions needs Python 3.13, the version of their runtime; say: make PYTHON=/path/to/python3.13 ..." >&2
  exit 1
fi
echo "Installing $requirements into $venv (once)"
mkdir -p "$(dirname "$venv")"
make_environment "$python" "$venv"
install "$venv" --require-hashes --requirement "$requirements"
