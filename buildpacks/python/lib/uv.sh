# Installs what uv.lock names. Sourced by bin/compile.

readonly UV_VERSION=0.13.8

install_with_uv() {
  local log groups=(--no-default-groups)
  log=$(mktemp)
  [[ -z ${FOR_TESTS:-} ]] || groups=()
  fetch_tool uv "$UV_VERSION"
  export UV_CACHE_DIR=$CACHE/uv UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PYTHON=/usr/bin/python3 UV_NO_PROGRESS=1
  # The machine's certificates, and its index if pip is told one.
  export UV_SYSTEM_CERTS=true
  [[ -z ${PIP_INDEX_URL:-} ]] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
  [[ -x $VENV/bin/python ]] || create_environment
  header "Installing the packages of uv.lock with uv"
  if ! UV_PROJECT_ENVIRONMENT=$VENV "$TOOL" sync --locked "${groups[@]}" --no-editable --color never 2>&1 | tee "$log" | indent; then
    explain_uv_failure "$log"
  fi
  rm -f "$log"
}

# Turns what uv said into what the user can do. $1: its log.
explain_uv_failure() {
  local log=$1
  if grep -qE 'lockfile at `uv.lock` needs to be updated|The lockfile .* needs to be updated' "$log"; then
    fail "pyproject.toml and uv.lock do not fit each other." "Run \`uv lock\`, commit both files and push again."
  fi
  if grep -qE 'Failed to parse|TOML parse error' "$log"; then
    fail "pyproject.toml or uv.lock cannot be read; see above." "Correct it (\`uv lock\` makes the latter anew), commit and push again."
  fi
  if grep -qE 'requires-python|incompatible with the project.s Python requirement' "$log"; then
    fail "pyproject.toml does not allow the stack's Python $PYTHON_VERSION." \
      "Widen requires-python in pyproject.toml, run \`uv lock\`, commit both files and push again."
  fi
  if grep -qE 'was not found in the package registry|404 Not Found|No solution found' "$log"; then
    fail "A package of uv.lock cannot be had (see above)." "Check its name and version, run \`uv lock\`, commit and push again."
  fi
  if grep -qE 'error sending request|dns error|tcp connect error|invalid peer certificate|client error' "$log"; then
    fail "The package index could not be reached (see above)." "Check the network and proxy settings of this machine, then push again."
  fi
  fail "uv could not install the packages; see above." "Try \`uv sync --locked\` in a fresh clone with Python ${PYTHON_VERSION%.*}."
}
