# Installs requirements.txt, or takes the environment of the last build when nothing that made it has changed.
# Sourced by bin/compile.

readonly CACHED_VENV=$CACHE/environment CACHED_FINGERPRINT=$CACHE/fingerprint

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

# Whether the requirements name the app's own files or a branch, whose contents the fingerprint does not know.
names_moving_sources() {
  requirement_files requirements.txt |
    xargs -d '\n' grep -qE '^[[:space:]]*(-e|--editable|\.|/|-f|--find-links)|file:|git\+|hg\+|svn\+|bzr\+|\.(whl|zip|tar\.gz)([[:space:]]|$)'
}

# Everything that decides what gets installed.
fingerprint() {
  {
    echo "$CACHE_FORMAT ${STACK:-} $PYTHON_VERSION"
    /usr/bin/python3 -m pip --version
    env | grep -E '^PIP_(INDEX_URL|EXTRA_INDEX_URL|CONSTRAINT|PRE|NO_BINARY|ONLY_BINARY)=' | sort
    requirement_files requirements.txt | xargs -d '\n' cat
  } | sha256sum | cut -d ' ' -f 1
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
pip_install() {
  local log
  log=$(mktemp)
  if ! /usr/bin/python3 -m pip --python "$VENV/bin/python" install --requirement requirements.txt \
    --cache-dir "$CACHE/pip" --no-compile --no-input --disable-pip-version-check --progress-bar off 2>&1 |
    sed -uE "$HOST_SETTINGS" | tee "$log" | indent; then
    explain_pip_failure "$log"
  fi
  rm -f "$log"
}

create_environment() {
  local real=$BUILD_DIR/.heroku/python
  # venv refuses a link as its place, so it is made in the real one; few of its files name it.
  /usr/bin/python3 -m venv --without-pip "$real" 2>&1 | indent ||
    fail "The virtual environment could not be made; see above."
  sed -i "s|$real|$VENV|g" "$VENV/pyvenv.cfg" "$VENV"/bin/activate*
  printf '#!/bin/sh\nexec /usr/bin/python3 -m pip --python %s/bin/python "$@"\n' "$VENV" >"$VENV/bin/pip"
  chmod +x "$VENV/bin/pip"
}

install_requirements() {
  local print
  print=$(fingerprint)
  if [[ -d $CACHED_VENV && $(cat "$CACHED_FINGERPRINT" 2>/dev/null) == "$print" ]] && ! names_moving_sources; then
    header "Restoring the installed requirements from the build cache"
    cp -a --reflink=auto "$CACHED_VENV/." "$VENV/"
    say "requirements.txt and Python are unchanged."
    return
  fi

  header "Installing requirements with pip"
  create_environment
  pip_install
  # A slug's files have one constant time, so bytecode that is checked by time could go stale unseen.
  "$VENV/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$VENV/lib" >/dev/null ||
    say "Some files of the requirements do not compile; they are kept as they are."

  rm -rf "$CACHED_VENV" "$CACHED_FINGERPRINT"
  mkdir -p "$CACHED_VENV"
  cp -a --reflink=auto "$VENV/." "$CACHED_VENV/"
  # Last, so that a build killed half way leaves no fingerprint to a half copy.
  echo "$print" >"$CACHED_FINGERPRINT"
}
