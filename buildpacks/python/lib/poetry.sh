# Installs what poetry.lock names: pip does it where the lock file says all that pip needs, else Poetry. Sourced by bin/compile.

readonly POETRY_VERSION=2.5.1

poetry_inputs() {
  /usr/bin/python3 -m pip --version
  cat pyproject.toml poetry.lock
}

# Whether the app itself, or something of another source, is installed, whose contents the fingerprint does not know.
poetry_is_moving() { is_package || grep -qE '^type = "(git|directory|file|url)"' poetry.lock; }

# Whether the app is a package that is to be installed too.
is_package() {
  /usr/bin/python3 -c '
import os, re, sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
poetry = project.get("tool", {}).get("poetry", {})
name = re.sub(r"[-.]+", "_", project.get("project", {}).get("name") or poetry.get("name") or "")
found = "packages" in poetry or any(os.path.isdir(os.path.join(place, name)) for place in ("", "src"))
sys.exit(0 if "build-system" in project and poetry.get("package-mode", True) and name and found else 1)' 2>/dev/null
}

install_with_poetry() {
  local log list status=0
  log=$(mktemp)
  list=$(mktemp --suffix=.txt)
  /usr/bin/python3 "$BUILDPACK_DIR/lib/poetry.py" >"$list" 2>"$log" || status=$?
  # pip is told of the main group alone, which is not all that tests need.
  [[ $status != 0 || -z ${FOR_TESTS:-} ]] || status=3
  case $status in
  0)
    header "Installing the packages of poetry.lock with pip"
    create_environment
    pip_install "$list"
    if is_package; then
      say "Installing the app itself"
      /usr/bin/python3 -m pip --python "$VENV/bin/python" install --no-deps --no-input --quiet --disable-pip-version-check \
        --cache-dir "$CACHE/pip" . 2>&1 | indent || fail "The app itself could not be installed as a package; see above." \
        "Write \`package-mode = false\` into the section [tool.poetry] of pyproject.toml if it is none, and push again."
    fi
    ;;
  2)
    fail "pyproject.toml and poetry.lock do not fit each other: $(cat "$log")." \
      "Run \`poetry lock\`, commit both files and push again."
    ;;
  3) run_poetry ;;
  *)
    fail "pyproject.toml or poetry.lock cannot be read: $(tail -n 1 "$log")" \
      "Correct it (\`poetry check\` tells where), commit and push again."
    ;;
  esac
  rm -f "$log" "$list"
}

run_poetry() {
  local log groups=(--only main)
  log=$(mktemp)
  [[ -z ${FOR_TESTS:-} ]] || groups=()
  export POETRY_CACHE_DIR=$CACHE/poetry POETRY_NO_INTERACTION=1
  fetch_tool poetry "$POETRY_VERSION"
  create_environment
  header "Installing the packages of poetry.lock with Poetry"
  # The environment that is active is the one that Poetry works on.
  if ! VIRTUAL_ENV=$VENV PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring "$TOOL" sync "${groups[@]}" --no-ansi 2>&1 |
    tee "$log" | indent; then
    if grep -q 'pyproject.toml changed significantly' "$log"; then
      fail "pyproject.toml and poetry.lock do not fit each other." "Run \`poetry lock\`, commit both files and push again."
    fi
    fail "Poetry could not install the packages; see above." \
      "Try \`poetry install --only main\` in a fresh clone with Python ${PYTHON_VERSION%.*}."
  fi
  rm -f "$log"
}
