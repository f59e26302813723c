# Which Node.js: the stack's, checked against what the app asks for. Sourced by bin/compile.

require_stack_node() {
  local program
  for program in node npm; do
    command -v "$program" >/dev/null ||
      fail "The stack ${STACK:-} has no $program, so it cannot build Node.js apps."
  done
  NODE_VERSION=$(node --version)
  NODE_VERSION=${NODE_VERSION#v}
  readonly NODE_VERSION
}

check_engine() {
  local range advice="Write for example \"engines\": { \"node\": \"${NODE_VERSION%%.*}.x\" }, commit and push again."
  range=$(manifest engine-range)
  case $(manifest engine-fits "$(command -v npm)") in
  yes) header "Using Node.js $NODE_VERSION${range:+, which engines.node ($range) accepts}, and npm $(npm --version)" ;;
  no)
    fail "This app asks for Node.js $range (engines.node in package.json), which is not available." \
      "Available on the stack ${STACK:-}: $NODE_VERSION" "$advice"
    ;;
  *)
    fail "engines.node in package.json is not a range of versions: ${range:-(not a text)}" \
      "Available on the stack ${STACK:-}: $NODE_VERSION" "$advice"
    ;;
  esac
}
