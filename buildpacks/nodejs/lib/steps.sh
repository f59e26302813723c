# The steps of a build, whichever package manager does them. Sourced by bin/compile.

# Sets MANAGER by the lock file: npm, yarn or pnpm.
choose_manager() {
  local lock found=()
  for lock in package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb; do
    [[ ! -f $lock ]] || found+=("$lock")
  done
  if [[ ${#found[@]} -gt 1 && "${found[*]}" != "package-lock.json npm-shrinkwrap.json" ]]; then
    fail "The versions of this app are locked twice: ${found[*]}." \
      "Remove all but the one of the package manager that you use, commit and push again."
  fi
  case ${found[0]:-} in
  yarn.lock) MANAGER=yarn ;;
  pnpm-lock.yaml) MANAGER=pnpm ;;
  bun.*)
    fail "The versions of this app are locked in ${found[0]}, and this buildpack does not install with Bun." \
      "Run \`npm install --package-lock-only\`, commit package-lock.json, remove ${found[0]} and push again."
    ;;
  *)
    MANAGER=$(manifest package-manager)
    MANAGER=${MANAGER%% *}
    MANAGER=${MANAGER:-npm}
    ;;
  esac
  readonly MANAGER
  export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false npm_config_progress=false
  # Compiled add-ons use the headers of this very Node.js, where they are, instead of fetching some.
  if [[ -d .heroku/node/include/node ]]; then
    export npm_config_nodedir=$BUILD_DIR/.heroku/node
  elif [[ -d /usr/include/node ]]; then
    export npm_config_nodedir=/usr
  fi
}

# Puts the package manager $1, of the version or range $2, on the PATH.
fetch_manager() {
  local package=$1 version=$2 log place
  place=$CACHE_DIR/managers/$package@$version
  if [[ ! -d $place/node_modules/.bin ]]; then
    rm -rf "$CACHE_DIR/managers"
    mkdir -p "$place"
    log=$(mktemp)
    if ! npm install --prefix "$place" --no-save --ignore-scripts "$package@$version" >"$log" 2>&1; then
      indent <"$log"
      rm -rf "$place"
      fail "The registry has no $package of the version that the app asks for: $version" \
        "Correct packageManager or engines in package.json, commit and push again."
    fi
    rm -f "$log"
  fi
  export PATH="$place/node_modules/.bin:$PATH"
}

install_packages() {
  if [[ -d node_modules ]]; then
    warn "node_modules is part of the app's sources: add it to .gitignore, it is installed here."
  fi
  install_with_"$MANAGER"
}

# Runs the script $1 of package.json when it has one.
run_script() {
  [[ $(manifest has-script "$1") == yes ]] || return 0
  header "Running the script $1"
  "$MANAGER"_step run "$1"
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
  prune_with_"$MANAGER"
}
