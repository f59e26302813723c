# Which Go, which packages, and their installation. Sourced by bin/compile.

require_modules() {
  [[ -f go.mod ]] && return
  fail "There is no go.mod in the root of the app: its dependencies are listed for an older tool." \
    "Run \`go mod init\` and \`go mod tidy\`, commit go.mod and go.sum, remove the old files and push again."
}

# The rest of a comment `// +heroku KEY ...` in go.mod.
directive() { sed -nE "s,^[[:space:]]*//[[:space:]]*\+heroku[[:space:]]+$1[[:space:]]+(.*[^[:space:]])[[:space:]]*\$,\1,p" go.mod | head -n 1; }

choose_version() {
  local stack wanted
  stack=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || stack=
  [[ -n $stack ]] || fail "The stack ${STACK:-} has no go, so it cannot build Go apps."
  wanted=${GOVERSION:-$(directive goVersion)}
  unset GOVERSION
  if [[ -n $wanted ]]; then
    wanted=go${wanted#go}
    [[ $wanted =~ ^go1\.[0-9]+(\.[0-9]+)?$ ]] ||
      fail "GOVERSION (or goVersion in go.mod) is no version of Go: ${wanted#go}" "Write for example \`${stack#go}\`, and push again."
    # The stack's own series is the stack's: it follows that one's security fixes.
    [[ $stack == "$wanted" || $stack == "$wanted".* ]] || export GOTOOLCHAIN=$wanted
  fi
  local log version
  log=$(mktemp)
  if ! version=$(go env GOVERSION 2>"$log"); then
    indent <"$log"
    explain_go_failure "$log"
  fi
  if [[ $version == "$stack" ]]; then
    header "Using ${version} of the stack"
  else
    header "Using ${version}, which go.mod or GOVERSION asks for (the stack has $stack)"
  fi
}

find_packages() {
  local log spec
  log=$(mktemp)
  spec=${GO_INSTALL_PACKAGE_SPEC:-$(directive install)}
  if [[ -n $spec ]]; then
    read -ra PACKAGES <<<"$spec"
    return
  fi
  local found
  if ! found=$(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./... 2>"$log"); then
    indent <"$log"
    explain_go_failure "$log"
  fi
  mapfile -t PACKAGES < <(grep . <<<"$found" || true)
  [[ ${#PACKAGES[@]} -gt 0 ]] || fail "There is no package main in this module, so there is no program to run." \
    "A program is a package named \`main\` with a function \`main\`; add one, commit and push again."
}

install_packages() {
  local log flags=()
  log=$(mktemp)
  if [[ -n ${GO_LINKER_SYMBOL:-} ]]; then
    flags=(-ldflags "-X ${GO_LINKER_SYMBOL}=${GO_LINKER_VALUE:-${SOURCE_VERSION:-}}")
  fi
  header "Running go install -tags heroku ${PACKAGES[*]}"
  [[ ! -d vendor ]] || say "The dependencies are those in vendor."
  if ! go install -tags heroku "${flags[@]}" "${PACKAGES[@]}" 2>&1 | tee "$log" | indent; then
    explain_go_failure "$log"
  fi
  rm -f "$log"
}

# Turns what go said into what the user can do. $1: its log.
explain_go_failure() {
  local log=$1 line
  if line=$(grep -m1 -oE 'go\.mod:[0-9]+: .*|invalid go version .*' "$log" || grep -m1 -oE 'errors parsing go\.mod' "$log"); then
    fail "go.mod cannot be read: ${line}" "Correct it (\`go mod tidy\` tells where), commit and push again."
  fi
  if grep -qE 'download go1[^ ]*: .*(40[34]|410) |download go1[^ ]* for .*not (available|found)|toolchain not available|invalid toolchain' "$log"; then
    fail "The version of Go that this app asks for does not exist, or not for this machine." \
      "Correct the line \`go\` or \`toolchain\` in go.mod (or GOVERSION), commit and push again." \
      "The stack has $(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)."
  fi
  if grep -qE 'requires go >= ' "$log"; then
    fail "$(grep -m1 -oE '[^ ]* ?requires go >= [^)]*\)?' "$log")" \
      "Set GOTOOLCHAIN to auto, or ask for a version of Go that is new enough in go.mod; the stack has $(GOTOOLCHAIN=local go env GOVERSION)."
  fi
  if grep -qE 'missing go\.sum entry|updates to go\.(mod|sum) needed|no required module provides package|inconsistent vendoring' "$log"; then
    fail "go.mod, go.sum and the sources do not fit each other (see above)." \
      "Run \`go mod tidy\` (and \`go mod vendor\` if there is a vendor directory), commit the result and push again."
  fi
  if line=$(grep -m1 -E 'unknown revision|404 Not Found|410 Gone|invalid version|malformed module path|no matching versions' "$log"); then
    fail "A dependency cannot be had: $(sed -E 's/^[[:space:]]*(go: )?//' <<<"$line" | cut -c 1-160)" \
      "Check its path and version in go.mod, run \`go mod tidy\`, commit and push again."
  fi
  if grep -qE 'dial tcp|no such host|i/o timeout|proxyconnect|certificate signed by unknown authority|connection refused' "$log"; then
    fail "The module proxy could not be reached (see above)." \
      "Check the network and the settings GOPROXY and GOPRIVATE, then push again."
  fi
  fail "The app does not compile; the compiler's messages are above." "Try \`go build ./...\` in a fresh clone, correct it and push again."
}

# The web process of an app without a Procfile: its only program, or the one in its root.
choose_web() {
  local module names name
  [[ ! -f Procfile ]] || return 0
  module=$(go list -m 2>/dev/null | head -n 1)
  mapfile -t names < <(find bin -maxdepth 1 -type f -perm -u+x -newer go.mod -printf '%f\n' | sort)
  if [[ ${#names[@]} -eq 1 ]]; then
    name=${names[0]}
  elif printf '%s\n' "${PACKAGES[@]}" | grep -qxF "$module"; then
    name=${module##*/}
  fi
  if [[ -n ${name:-} && -x bin/$name ]]; then
    echo "$name" >"$BUILDPACK_DIR/web"
  else
    warn "There are several programs and no Procfile, so no process will be started." \
      "Say which one is the web process in a file named Procfile, for example:" "    web: bin/${names[0]:-server}"
  fi
}
