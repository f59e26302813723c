# Installs, builds and prunes with npm. Sourced by bin/compile.

prepare_npm() {
  local lock
  if ! has_lock; then
    for lock in yarn.lock pnpm-lock.yaml bun.lock bun.lockb; do
      [[ -f $lock ]] || continue
      fail "The versions of this app are locked in $lock, and this buildpack installs with npm alone." \
        "Run \`npm install --package-lock-only\`, commit package-lock.json and push again."
    done
  fi
  export npm_config_cache="$CACHE_DIR/npm"
  # With a lock file the cache cannot be out of date: every version is fixed.
  ! has_lock || export npm_config_prefer_offline=true
  export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false npm_config_progress=false
  # Compiled add-ons use the headers of the stack's Node, where it has them, instead of fetching some.
  [[ ! -d /usr/include/node ]] || export npm_config_nodedir=/usr
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

install_packages() {
  if [[ -d node_modules ]]; then
    warn "node_modules is part of the app's sources: add it to .gitignore, it is installed here."
  fi
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

# Runs the script $1 of package.json when it has one.
run_script() {
  [[ $(manifest has-script "$1") == yes ]] || return 0
  header "Running the script $1"
  npm_step run "$1"
}

# heroku-postbuild stands in for build where a platform needs other steps than a developer.
run_build() {
  if [[ $(manifest has-script heroku-postbuild) == yes ]]; then
    run_script heroku-postbuild
  else
    run_script build
  fi
}

prune_packages() {
  [[ $(manifest has-dev-dependencies) == yes ]] || return 0
  if [[ $NODE_ENV != production || ${NPM_CONFIG_PRODUCTION:-} == false ]]; then
    header "Keeping the development packages (NODE_ENV is $NODE_ENV, NPM_CONFIG_PRODUCTION ${NPM_CONFIG_PRODUCTION:-not set})"
    return
  fi
  header "Pruning the development packages"
  npm_step prune --omit=dev --ignore-scripts
}
