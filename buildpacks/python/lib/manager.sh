# Which tool installs: told by the one file of requirements that the app has. Sourced by bin/compile.

# Sets MANAGER: pip, pipenv, poetry or uv.
choose_manager() {
  local file found=()
  for file in requirements.txt Pipfile.lock poetry.lock uv.lock; do
    [[ ! -f $file ]] || found+=("$file")
  done
  if [[ ${#found[@]} -gt 1 ]]; then
    fail "The requirements of this app are listed for several tools: ${found[*]}." \
      "Remove all but the one of the tool that you use, commit and push again."
  fi
  case ${found[0]:-} in
  requirements.txt) MANAGER=pip ;;
  Pipfile.lock) MANAGER=pipenv ;;
  poetry.lock) MANAGER=poetry ;;
  uv.lock) MANAGER=uv ;;
  *) explain_no_requirements ;;
  esac
  readonly MANAGER
  case $MANAGER in
  pipenv) require_beside Pipfile Pipfile.lock ;;
  poetry | uv) require_beside pyproject.toml "${found[0]}" ;;
  *) ;;
  esac
}

require_beside() {
  [[ -f $1 ]] || fail "There is a $2, but no $1 in the root of the app." "Commit $1 too, and push again."
}

explain_no_requirements() {
  local file how
  for file in Pipfile pdm.lock pyproject.toml setup.py; do
    [[ -f $file ]] || continue
    how="List the dependencies in requirements.txt"
    case $file in
    Pipfile) how="Run \`pipenv lock\`, and commit Pipfile.lock" ;;
    pdm.lock) how="Run \`pdm export -o requirements.txt\`, and commit it" ;;
    pyproject.toml) how="Run \`uv lock\` or \`poetry lock\` and commit the lock file, or list the dependencies in requirements.txt" ;;
    *) ;;
    esac
    fail "There is no requirements.txt, Pipfile.lock, poetry.lock or uv.lock to install from (found: $file)." "$how; then push again."
  done
  fail "There is no requirements.txt in the root of the app." \
    "List the dependencies there, one per line (an app without any has an empty file)," \
    "commit it and push again."
}

# Installs the tool $1 of the version $2 for itself, kept from build to build; TOOL becomes its program.
fetch_tool() {
  local name=$1 version=$2 place log
  place=$CACHE/tools/$name-$version
  TOOL=$place/bin/$name
  if [[ ! -x $TOOL ]]; then
    header "Installing $name $version"
    rm -rf "$CACHE/tools"
    mkdir -p "$CACHE/tools"
    log=$(mktemp)
    if ! { /usr/bin/python3 -m venv --without-pip "$place" &&
      /usr/bin/python3 -m pip --python "$place/bin/python" install --quiet --no-input --disable-pip-version-check \
        --progress-bar off --cache-dir "$CACHE/pip" "$name==$version"; } >"$log" 2>&1; then
      indent <"$log"
      rm -rf "$place"
      fail "$name could not be installed; see above." "Check the network, proxy and pip settings of this machine, then push again."
    fi
    rm -f "$log"
  fi
}
