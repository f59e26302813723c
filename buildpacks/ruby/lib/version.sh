# Which Ruby: the stack's, checked against what the app asks for. Sourced by bin/compile.

# What Gemfile.lock (it comes first) or .ruby-version asks for, without the patch level.
requested_ruby() {
  local wanted
  wanted=$(awk '/^RUBY VERSION/ { getline; print $2 }' Gemfile.lock | sed -E 's/p[0-9]+$//')
  if [[ -z $wanted && -f .ruby-version ]]; then
    wanted=$(head -n 1 .ruby-version | tr -d '[:space:]')
    wanted=${wanted#ruby-}
  fi
  echo "$wanted"
}

check_ruby_version() {
  command -v ruby >/dev/null || fail "The stack ${STACK:-} has no ruby, so it cannot build Ruby apps."
  RUBY_VERSION=$(ruby -e 'print RUBY_VERSION')
  readonly RUBY_VERSION
  local series=${RUBY_VERSION%.*} wanted
  wanted=$(requested_ruby)
  case $wanted in
  '') header "Using Ruby $RUBY_VERSION of the stack" ;;
  "$RUBY_VERSION" | "$series") header "Using Ruby $RUBY_VERSION, as the app asks for ($wanted)" ;;
  "$series".*)
    # A stack follows the security fixes of one series: refusing would break apps whenever it is rebuilt.
    header "Using Ruby $RUBY_VERSION"
    warn "The app asks for Ruby $wanted; the stack has $RUBY_VERSION of the same series, which is used." \
      "Write \`ruby \"~> $series.0\"\` into the Gemfile to follow its security fixes."
    ;;
  *)
    fail "This app asks for Ruby $wanted, which is not available." \
      "Available on the stack ${STACK:-}: $RUBY_VERSION" \
      "Write \`ruby \"~> $series.0\"\` into the Gemfile (and $series into .ruby-version), run \`bundle lock\`, commit and push again."
    ;;
  esac
}
