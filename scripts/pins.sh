#!/usr/bin/env bash
# Write the pinned versions with their hashes (see requirements/README.md).
#   scripts/pins.sh UV [PACKAGE | all]
set -euo pipefail
uv=$1
case ${2:-} in
  "") upgrade=() ;;
  all | 1) upgrade=(--upgrade) ;;
  *) upgrade=(--upgrade-package "$2") ;;
esac

compile() { # OUTPUT ARGUMENT...
  echo "$1" >&2
  "$uv" pip compile --quiet --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make pins" ${upgrade[@]+"${upgrade[@]}"} --output-file "$@"
}

compile requirements/development.txt pyproject.toml requirements/build.in --extra dev --extra docs \
  --universal --python-version 3.11
# everything else that runs or builds the package has the versions that were tested together
tested=(--constraint requirements/development.txt)
compile requirements/task.txt pyproject.toml --universal --python-version 3.11 "${tested[@]}"
compile requirements/build.txt requirements/build.in --universal --python-version 3.11 "${tested[@]}"
compile requirements/uv.txt requirements/uv.in --universal --python-version 3.11 "${tested[@]}"
compile functions/dependencies/requirements.txt functions/dependencies/requirements.in \
  --python-version 3.13 --python-platform x86_64-manylinux_2_34 "${tested[@]}"
# tools in environments of their own: their pins exclude one another and ours
compile requirements/sam.txt requirements/sam.in --universal --python-version 3.13
compile requirements/checkov.txt requirements/checkov.in --universal --python-version 3.13
