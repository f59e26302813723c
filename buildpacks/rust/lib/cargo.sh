# Which Rust, and cargo's work. Sourced by bin/compile.

# The channel that rust-toolchain.toml, or the older form without an ending, names.
requested_rust() {
  local file
  for file in rust-toolchain.toml rust-toolchain; do
    [[ -f $file ]] || continue
    if grep -q '^\[toolchain\]' "$file"; then
      sed -nE 's/^[[:space:]]*channel[[:space:]]*=[[:space:]]*"([^"]*)".*/\1/p' "$file" | head -n 1
    else
      head -n 1 "$file" | tr -d '[:space:]'
    fi
    return
  done
}

check_version() {
  command -v cargo >/dev/null || fail "The stack ${STACK:-} has no cargo, so it cannot build Rust apps."
  local wanted series
  RUST_VERSION=$(rustc --version | cut -d ' ' -f 2)
  readonly RUST_VERSION
  series=${RUST_VERSION%.*}
  wanted=$(requested_rust)
  case $wanted in
  '' | stable) header "Using Rust $RUST_VERSION of the stack" ;;
  "$RUST_VERSION" | "$series" | "$series".*) header "Using Rust $RUST_VERSION, as the app asks for ($wanted)" ;;
  *)
    fail "This app asks for Rust $wanted (rust-toolchain), which is not available." \
      "Available on the stack ${STACK:-}: $RUST_VERSION" \
      "Write \`stable\` as its channel, or remove the file, commit and push again."
    ;;
  esac
}

read_manifest() {
  local log
  log=$(mktemp)
  if ! METADATA=$(cargo metadata --format-version 1 --no-deps --offline 2>"$log"); then
    indent <"$log"
    fail "Cargo.toml cannot be read; see above." "Correct it, commit and push again."
  fi
  mapfile -t PROGRAMS < <(jq -r '.packages[].targets[] | select(.kind[] == "bin") | .name' <<<"$METADATA" | sort -u)
  [[ ${#PROGRAMS[@]} -gt 0 ]] || fail "Cargo.toml describes no program, only a library." \
    "Add a src/main.rs, or a [[bin]] section, commit and push again."
}

build_programs() {
  local log flags=(--release)
  log=$(mktemp)
  if [[ -f Cargo.lock ]]; then
    flags+=(--locked)
  else
    warn "There is no Cargo.lock: versions may differ from one build to the next." "Commit the one that cargo writes."
  fi
  header "Running cargo build ${flags[*]}"
  # shellcheck disable=SC2086 # the user's own flags, one word each
  if ! cargo build "${flags[@]}" ${RUST_CARGO_BUILD_FLAGS:-} 2>&1 | tee "$log" | indent; then
    explain_cargo_failure "$log"
  fi
  rm -f "$log"
}

# Turns what cargo said into what the user can do. $1: its log.
explain_cargo_failure() {
  local log=$1 line
  if grep -qE 'lock file .* needs to be updated|cannot update the lock file' "$log"; then
    fail "Cargo.toml and Cargo.lock do not fit each other." "Run \`cargo build\`, commit Cargo.lock and push again."
  fi
  if line=$(grep -m1 -oE 'no matching package named `[^`]+` found|failed to select a version for the requirement `[^`]+`' "$log"); then
    fail "A dependency cannot be had: ${line}" "Check its name and version in Cargo.toml, commit and push again."
  fi
  if line=$(grep -m1 -E 'requires rustc [0-9.]+|is not supported by the following|rustc [0-9.]+ or newer' "$log"); then
    fail "A dependency needs a newer Rust than the stack's $RUST_VERSION: $(sed -E 's/^[[:space:]]+//' <<<"$line" | cut -c 1-160)" \
      "Use an older version of it (\`cargo update -p NAME --precise VERSION\`), commit Cargo.lock and push again."
  fi
  if grep -qE 'Could not resolve host|Could not connect|SSL certificate problem|spurious network error|Timeout was reached' "$log"; then
    fail "The crate registry could not be reached (see above)." "Check the network and proxy settings, then push again."
  fi
  if line=$(grep -m1 -oE 'linking with `[^`]+` failed|could not find (system )?library|The system library `[^`]+`' "$log"); then
    fail "A program could not be linked: ${line}; see above." "It may need a library that the stack ${STACK:-} does not have."
  fi
  fail "The app does not compile; the compiler's messages are above." \
    "Try \`cargo build --release\` in a fresh clone with Rust $RUST_VERSION, correct it and push again."
}

copy_programs() {
  local name
  mkdir -p target/release
  for name in "${PROGRAMS[@]}"; do
    [[ ! -x $CARGO_TARGET_DIR/release/$name ]] || cp "$CARGO_TARGET_DIR/release/$name" target/release/
  done
  # The app's own crates are known by the directory they were built in, which is another one each time.
  jq -r '.packages[].name' <<<"$METADATA" | while IFS= read -r name; do
    cargo clean --release --offline -p "$name" >/dev/null 2>&1 || true
  done
  [[ ! -f Procfile ]] || return 0
  if [[ ${#PROGRAMS[@]} -eq 1 ]]; then
    echo "${PROGRAMS[0]}" >"$BUILDPACK_DIR/web"
  else
    warn "There are several programs and no Procfile, so no process will be started." \
      "Say which one is the web process in a file named Procfile, for example:" "    web: target/release/${PROGRAMS[0]}"
  fi
}
