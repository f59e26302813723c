# Installs and prunes with Yarn, of the series whose lock file the app has. Sourced by bin/compile.

# Yarn's first series marks its lock file.
is_classic() { [[ ! -f yarn.lock ]] || grep -q '^# yarn lockfile v1' yarn.lock; }

prepare_yarn() {
  local wanted registry
  wanted=$(manifest package-manager)
  wanted=${wanted#yarn }
  [[ -n $wanted ]] || wanted=$(manifest engine-of yarn)
  # The machine's settings of npm say where packages are; Yarn has settings of its own.
  registry=$(npm config get registry)
  export YARN_ENABLE_TELEMETRY=0 YARN_NPM_REGISTRY_SERVER="${YARN_NPM_REGISTRY_SERVER:-${registry%/}}"
  export YARN_REGISTRY="${YARN_REGISTRY:-$registry}"
  if is_classic; then
    fetch_manager yarn "${wanted:-1}"
    return
  fi
  export YARN_GLOBAL_FOLDER=$CACHE_DIR/yarn YARN_ENABLE_GLOBAL_CACHE=true
  if ! grep -qs '^nodeLinker:' .yarnrc.yml; then
    # What npm start and Node itself read at run time is node_modules.
    export YARN_NODE_LINKER=node-modules
  fi
  # A Yarn that is part of the app is the one to use, and is found by any other.
  fetch_manager @yarnpkg/cli-dist "${wanted:-4}"
}

# Runs Yarn with its output indented and kept; on failure says what the user can do.
yarn_step() {
  local log
  log=$(mktemp)
  yarn "$@" 2>&1 | tee "$log" | indent || explain_yarn_failure "$log" "$*"
  rm -f "$log"
}

# Turns what Yarn said into what the user can do. $1: its log, $2: what was run.
explain_yarn_failure() {
  local log=$1 step=$2 line
  if grep -qE 'needs to be updated, but yarn was run with|YN0028|lockfile would have been (modified|created)' "$log"; then
    fail "package.json and yarn.lock do not fit each other." "Run \`yarn install\`, commit yarn.lock and push again."
  fi
  if line=$(grep -m1 -oE "Couldn't find (any versions for )?(package )?\"?[^\" ]+\"?( that matches \"[^\"]+\")?|YN0035: .*|YN0082: .*" "$log"); then
    fail "The registry has no such package: ${line#YN00?? }" \
      "Check its name and version in package.json, run \`yarn install\`, commit both files and push again."
  fi
  if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|YN0001: .*RequestError|unable to get local issuer' "$log"; then
    fail "The package registry could not be reached (see the error above)." \
      "Check the network, proxy and npm settings of this machine, then push again."
  fi
  fail "\`yarn $step\` failed; see its output above." \
    "Try the same in a fresh clone of the app with Node.js $NODE_VERSION, correct it and push again."
}

install_with_yarn() {
  if is_classic; then
    header "Installing packages with yarn install (Yarn $(yarn --version))"
    yarn_step install --frozen-lockfile --non-interactive --no-progress --production=false --cache-folder "$CACHE_DIR/yarn"
  else
    header "Installing packages with yarn install --immutable (Yarn $(yarn --version))"
    yarn_step install --immutable
  fi
}

prune_with_yarn() {
  if is_classic; then
    yarn_step install --frozen-lockfile --non-interactive --no-progress --production --ignore-scripts --prefer-offline \
      --cache-folder "$CACHE_DIR/yarn"
  elif [[ $(yarn --version) == [23].* ]]; then
    say "This Yarn cannot prune by itself; the development packages are kept."
  else
    YARN_ENABLE_SCRIPTS=false yarn_step workspaces focus --all --production
  fi
}
