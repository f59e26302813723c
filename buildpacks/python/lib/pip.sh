# Installs requirements.txt with pip. Sourced by bin/compile.

# The files that requirements.txt (or $1) reads, itself first. Nesting deeper than this is not followed.
readonly INCLUDE_DEPTH_MAX=8
requirement_files() {
  local file=$1 depth=${2:-0} included
  [[ -f $file && $depth -lt $INCLUDE_DEPTH_MAX ]] || return 0
  printf '%s\n' "$file"
  sed -nE 's/^[[:space:]]*(-r|-c|--requirement|--constraint)[[:space:]=]*([^[:space:]#]+).*/\2/p' "$file" |
    while IFS= read -r included; do
      requirement_files "$(dirname "$file")/$included" $((depth + 1))
    done
}

# What decides what pip installs.
pip_inputs() {
  /usr/bin/python3 -m pip --version
  env | grep -E '^PIP_(INDEX_URL|EXTRA_INDEX_URL|CONSTRAINT|PRE|NO_BINARY|ONLY_BINARY)=' | sort
  requirement_files requirements.txt | xargs -d '\n' cat
}

# Whether the requirements name the app's own files or a branch, whose contents the fingerprint does not know.
pip_is_moving() {
  requirement_files requirements.txt |
    xargs -d '\n' grep -qE '^[[:space:]]*(-e|--editable|\.|/|-f|--find-links)|file:|git\+|hg\+|svn\+|bzr\+|\.(whl|zip|tar\.gz)([[:space:]]|$)'
}

# Turns what pip said into what the user can do. $1: its log.
explain_pip_failure() {
  local log=$1 line
  if line=$(grep -m1 -E 'Invalid requirement:|Invalid wheel filename|ResolutionImpossible|conflicting dependencies' "$log"); then
    case $line in
    *Invalid*)
      fail "A line of requirements.txt is not a valid requirement:" \
        "    $(sed -E 's/^ERROR: //' <<<"$line")" \
        "Write it as \`name\` or \`name==version\`, commit and push again."
      ;;
    *)
      fail "The versions in requirements.txt exclude each other (see \"conflict\" above)." \
        "Loosen or update one of them, commit and push again."
      ;;
    esac
  fi
  if grep -qE 'No such file or directory: .*requirement|Could not open requirements file' "$log"; then
    fail "requirements.txt includes a file that is not in the app (named above)." "Commit it, or remove the line."
  fi
  if grep -qE 'NameResolutionError|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|CERTIFICATE_VERIFY_FAILED' "$log"; then
    fail "The package index could not be reached (see the connection errors above)." \
      "Check the network, proxy and pip settings of this machine, then push again."
  fi
  if line=$(grep -m1 -oE 'No matching distribution found for .*' "$log"); then
    line=${line#No matching distribution found for }
    fail "The package index has no \`$line\` for Python $PYTHON_VERSION." \
      "Check its name and version in requirements.txt (versions that exist are listed above), commit and push again."
  fi
  if line=$(grep -m1 -oE 'fatal error: [^:]+: No such file' "$log"); then
    fail "A package had to be compiled and misses a C header: ${line#fatal error: }." \
      "Use a version that has a ready-made wheel for Python $PYTHON_VERSION, or a stack with that library."
  fi
  fail "pip could not install the requirements; its first error is above." \
    "Try \`pip install -r requirements.txt\` in a fresh virtual environment with Python ${PYTHON_VERSION%.*}."
}

# Where the host of the build has pip look is not for the pusher, nor for the build's log.
readonly HOST_SETTINGS='/^Looking in (indexes|links): /d'

# pip itself stays in the stack and works on the environment: nothing to install for it, and one version of it.
# $1: the file of requirements.
pip_install() {
  local log
  log=$(mktemp)
  if ! /usr/bin/python3 -m pip --python "$VENV/bin/python" install --requirement "$1" \
    --cache-dir "$CACHE/pip" --no-compile --no-input --disable-pip-version-check --progress-bar off 2>&1 |
    sed -uE "$HOST_SETTINGS" | tee "$log" | indent; then
    explain_pip_failure "$log"
  fi
  rm -f "$log"
}

install_with_pip() {
  header "Installing requirements with pip"
  create_environment
  pip_install requirements.txt
  [[ -z ${FOR_TESTS:-} || ! -f requirements-test.txt ]] || pip_install requirements-test.txt
}
