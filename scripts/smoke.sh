#!/usr/bin/env bash
# Install the built wheel for another Python in an environment of its own, run a small meta-analysis with it.
#   scripts/smoke.sh 3.11
set -euo pipefail
source scripts/environment.sh
version=$1
python=$(command -v "python$version" || ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/python3 2>/dev/null | head -n 1 || true)
if [ -z "$python" ]; then
  echo "Python $version is not on this machine: the smoke test on it did not run" >&2
  exit 1
fi
venv=.venv-$version
make_environment "$python" "$venv"
rm -rf .make/wheel && mkdir -p .make/wheel
.venv/bin/python -m hatchling build --target wheel --directory "$PWD/.make/wheel" >/dev/null
install "$venv" --quiet --require-hashes --requirement requirements/task.txt
install "$venv" --quiet --no-deps --force-reinstall .make/wheel/*.whl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$OLDPWD/$venv/bin/python" - <<'PY'
import json
from compose_runner.local.demo import studies
document = studies.bundle_document(n_iterations=5)
open("bundle.json", "w").write(json.dumps(document))
PY
"$OLDPWD/$venv/bin/compose-run" smoke --bundle bundle.json --no-report --log-format json 2>log.jsonl || { tail -n 5 log.jsonl; exit 1; }
ls results/*.nii.gz results/metadata.json >/dev/null
echo "compose-run works on Python $version"
