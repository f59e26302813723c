# Installs and prunes with pnpm. Sourced by bin/compile.

prepare_pnpm() {
  local wanted
  wanted=$(manifest package-manager)
  wanted=${wanted#pnpm }
  [[ -n $wanted ]] || wanted=$(manifest engine-of pnpm)
  if [[ -z $wanted ]]; then
    # Each series reads its own form of the lock file.
    case $(sed -nE "s/^lockfileVersion: *'?([0-9]+).*/\1/p" pnpm-lock.yaml 2>/dev/null) in
    5) wanted=7 ;;
    6) wanted=8 ;;
    *) wanted=10 ;;
    esac
  fi
  export CI=true npm_config_store_dir=$CACHE_DIR/pnpm npm_config_manage_package_manager_versions=false
  fetch_manager pnpm "$wanted"
}

# Runs pnpm with its output indented and kept; on failure says what the user can do.
pnpm_step() {
  local log
  log=$(mktemp)
  pnpm "$@" 2>&1 | tee "$log" | indent || explain_pnpm_failure "$log" "$*"
  rm -f "$log"
}

# Turns what pnpm said into what the user can do. $1: its log, $2: what was run.
explain_pnpm_failure() {
  local log=$1 step=$2 line
  if grep -qE 'ERR_PNPM_(OUTDATED_LOCKFILE|NO_LOCKFILE|LOCKFILE_CONFIG_MISMATCH|FROZEN_LOCKFILE)' "$log"; then
    fail "package.json and pnpm-lock.yaml do not fit each other." "Run \`pnpm install\`, commit pnpm-lock.yaml and push again."
  fi
  if grep -qE 'ERR_PNPM_(BROKEN_LOCKFILE|LOCKFILE_BREAKING_CHANGE|UNSUPPORTED_ENGINE)' "$log"; then
    fail "This pnpm ($(pnpm --version)) cannot be used for the app (see above)." \
      "Name yours in package.json: \"packageManager\": \"pnpm@VERSION\", commit and push again."
  fi
  if line=$(grep -m1 -oE 'ERR_PNPM_(FETCH_404|NO_MATCHING_VERSION).*|No matching version found for [^ ]+' "$log"); then
    fail "The registry has no such package: ${line#ERR_PNPM_*  }" \
      "Check its name and version in package.json, run \`pnpm install\`, commit both files and push again."
  fi
  if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ERR_PNPM_META_FETCH_FAIL' "$log"; then
    fail "The package registry could not be reached (see the error above)." \
      "Check the network, proxy and npm settings of this machine, then push again."
  fi
  fail "\`pnpm $step\` failed; see its output above." \
    "Try the same in a fresh clone of the app with Node.js $NODE_VERSION, correct it and push again."
}

install_with_pnpm() {
  header "Installing packages with pnpm install (pnpm $(pnpm --version))"
  if [[ -f pnpm-lock.yaml ]]; then
    pnpm_step install --frozen-lockfile --prod=false --reporter=append-only
  else
    warn "There is no pnpm-lock.yaml: versions may differ from one build to the next." "Run \`pnpm install\` and commit it."
    pnpm_step install --no-frozen-lockfile --prod=false --reporter=append-only
  fi
}

prune_with_pnpm() { pnpm_step prune --prod --ignore-scripts; }
