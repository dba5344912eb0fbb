# Virtual environments from pinned versions, for the scripts that source this: with uv where it is to be had, else with pip.

# make_environment PYTHON VENV: an empty environment; a Python without ensurepip's wheels is served by uv as well
make_environment() {
  [ -x "$2/bin/python" ] || "$1" -m venv --without-pip "$2"
}

# find_uv VENV: print the uv on PATH, or one that pip installs into the environment, or nothing
find_uv() {
  local uv
  # a shim may be on PATH and run nothing
  if uv=$(command -v uv) && "$uv" --version >/dev/null 2>&1; then
    echo "$uv"
  elif "$1/bin/uv" --version >/dev/null 2>&1; then
    echo "$1/bin/uv"
  elif with_pip "$1" --quiet --require-hashes --requirement requirements/uv.txt >&2; then
    echo "$1/bin/uv"
  fi
}

# with_pip VENV ARGUMENT...: pip install
with_pip() {
  local python=$1/bin/python
  shift
  "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
  "$python" -m pip install --disable-pip-version-check "$@"
}

# install VENV ARGUMENT...: what `pip install` takes
install() {
  local venv=$1 uv
  shift
  uv=$(find_uv "$venv")
  if [ -n "$uv" ]; then
    "$uv" pip install --python "$venv/bin/python" "$@" && return
    # an index may be known to pip alone
    echo "uv could not install this; pip tries" >&2
  fi
  with_pip "$venv" "$@"
}
