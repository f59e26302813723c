# Installs and prunes with npm. Sourced by bin/compile.

prepare_npm() {
  export npm_config_cache="$CACHE_DIR/npm"
  # With a lock file the cache cannot be out of date: every version is fixed.
  ! has_lock || export npm_config_prefer_offline=true
  mkdir -p "$npm_config_cache"
}

has_lock() { [[ -f package-lock.json || -f npm-shrinkwrap.json ]]; }

# Runs npm with its output indented and kept; on failure says what the user can do.
npm_step() {
  local log
  log=$(mktemp)
  npm "$@" 2>&1 | tee "$log" | indent || explain_npm_failure "$log" "$*"
  rm -f "$log"
}

# Turns what npm said into what the user can do. $1: its log, $2: what was run.
explain_npm_failure() {
  local log=$1 step=$2 line
  if grep -qE 'code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|UNABLE_TO_|SELF_SIGNED)' "$log"; then
    fail "The package registry could not be reached (see the error above)." \
      "Check the network, proxy and npm settings of this machine, then push again."
  fi
  if grep -q 'code EUSAGE' "$log"; then
    fail "package.json and the lock file do not fit each other; the differences are listed above." \
      "Run \`npm install\`, commit the lock file and push again."
  fi
  if grep -q 'code ERESOLVE' "$log"; then
    fail "The packages in package.json exclude each other (peer dependencies, see above)." \
      "Loosen or update one of them, run \`npm install\`, commit both files and push again."
  fi
  if line=$(grep -m1 -oE "'[^']+' is not in (this|the npm) registry|No matching version found for [^ ]+" "$log"); then
    line=${line#No matching version found for }
    line=${line#\'}
    line=${line%%\'*}
    fail "The registry has no \`${line%.}\`." \
      "Check its name and version in package.json, run \`npm install\`, commit and push again."
  fi
  if grep -q 'code EINTEGRITY' "$log"; then
    fail "A downloaded package is not the one the lock file names (EINTEGRITY above)." \
      "Delete the lock file, run \`npm install\`, commit the new one and push again."
  fi
  fail "\`npm $step\` failed; see its output above." \
    "Try the same in a fresh clone of the app with Node.js $NODE_VERSION, correct it and push again."
}

install_with_npm() {
  # A build needs the development packages too; what is left of them is pruned after it.
  if has_lock; then
    header "Installing packages with npm ci"
    npm_step ci --include=dev
  else
    header "Installing packages with npm install"
    warn "There is no package-lock.json: versions may differ from one build to the next." \
      "Run \`npm install\` and commit package-lock.json."
    npm_step install --include=dev
  fi
}

prune_with_npm() { npm_step prune --omit=dev --ignore-scripts; }
