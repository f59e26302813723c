# Installs what Pipfile.lock names: Pipenv reads it, pip installs. Sourced by bin/compile.

readonly PIPENV_VERSION=2026.10.3

pipenv_inputs() {
  /usr/bin/python3 -m pip --version
  cat Pipfile Pipfile.lock
}

# Whether the lock file names the app's own files or a branch, whose contents the fingerprint does not know.
pipenv_is_moving() { grep -qE '"(git|path|file|editable)":' Pipfile.lock; }

install_with_pipenv() {
  local log list also=()
  log=$(mktemp)
  list=$(mktemp --suffix=.txt)
  [[ -z ${FOR_TESTS:-} ]] || also=(--dev)
  export PIPENV_NOSPIN=1 PIPENV_COLORBLIND=1 PIPENV_YES=1 PIPENV_VERBOSITY=-1 PIPENV_CACHE_DIR=$CACHE/pipenv
  fetch_tool pipenv "$PIPENV_VERSION"
  header "Installing the packages of Pipfile.lock with Pipenv and pip"
  if ! python3 -c 'import json; json.load(open("Pipfile.lock"))' >"$log" 2>&1; then
    fail "Pipfile.lock cannot be read: $(tail -n 1 "$log")" "Run \`pipenv lock\`, commit it and push again."
  fi
  if ! "$TOOL" verify >"$log" 2>&1; then
    indent <"$log"
    fail "Pipfile cannot be read, or Pipfile and Pipfile.lock do not fit each other." "Run \`pipenv lock\`, commit both files and push again."
  fi
  if ! "$TOOL" requirements --hash "${also[@]}" >"$list" 2>"$log"; then
    indent <"$log"
    fail "Pipfile.lock cannot be read; see above." "Run \`pipenv lock\`, commit it and push again."
  fi
  create_environment
  pip_install "$list"
  rm -f "$log" "$list"
}
