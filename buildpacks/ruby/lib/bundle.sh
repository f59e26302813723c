# Installs gems with the stack's Bundler. Sourced by bin/compile.

require_lock() {
  [[ -f Gemfile.lock ]] || fail "There is no Gemfile.lock: without it the versions would differ from one build to the next." \
    "Run \`bundle lock --add-platform x86_64-linux\`, commit Gemfile.lock and push again."
  if grep -qE '^(<<<<<<<|=======|>>>>>>>)' Gemfile.lock Gemfile; then
    fail "There are marks of an unfinished merge in Gemfile or Gemfile.lock." "Resolve them, run \`bundle lock\`, commit and push again."
  fi
}

# Everything that decides what lies in vendor/bundle.
gems_fingerprint() {
  { echo "1 ${STACK:-} $RUBY_VERSION ${BUNDLE_WITHOUT:-}"; cat Gemfile Gemfile.lock; } | sha256sum | cut -d ' ' -f 1
}

bundle_settings() {
  export BUNDLE_PATH=vendor/bundle BUNDLE_WITHOUT="${BUNDLE_WITHOUT:-development:test}" BUNDLE_DEPLOYMENT=1 BUNDLE_FROZEN=1
  export BUNDLE_JOBS=4 BUNDLE_RETRY=2 BUNDLE_GLOBAL_GEM_CACHE=false BUNDLE_USER_HOME=/tmp/bundle BUNDLE_SILENCE_ROOT_WARNING=1
  export BUNDLE_DISABLE_VERSION_CHECK=1
}

install_gems() {
  local print log vendored flags=()
  bundle_settings
  print=$(gems_fingerprint)
  # What came with the sources and was not made here would mix with what is.
  if [[ -d vendor/bundle ]]; then
    warn "vendor/bundle is part of the app's sources: add it to .gitignore, gems are installed there. For gems that no" \
      "source has, commit vendor/cache (\`bundle cache\`) instead."
  fi
  # A vendored gem may have changed and kept its version; Bundler would not look again at one that is installed.
  vendored=$(find vendor/cache -name '*.gem' -exec sha256sum {} + 2>/dev/null | sort | sha256sum) || true
  if [[ $(cat "$CACHE/vendored" 2>/dev/null) != "$vendored" ]]; then
    rm -rf "$CACHE/bundle" "$CACHE/fingerprint"
    echo "$vendored" >"$CACHE/vendored"
  fi
  if [[ -d $CACHE/bundle ]]; then
    rm -rf vendor/bundle
    mkdir -p vendor
    cp -a --reflink=auto "$CACHE/bundle" vendor/bundle
  fi
  log=$(mktemp)
  # Bundler of the version in the lock file would be fetched first; the stack's reads the same files.
  export BUNDLER_VERSION
  BUNDLER_VERSION=$(bundle --version | grep -oE '[0-9.]+$')
  if compgen -G 'vendor/cache/*.gem' >/dev/null && all_gems_are_vendored; then
    flags=(--local)
  fi
  if [[ $(cat "$CACHE/fingerprint" 2>/dev/null) == "$print" ]] && bundle check >/dev/null 2>&1; then
    header "Using the gems of the build cache"
    say "Gemfile and Gemfile.lock are unchanged."
  else
    header "Running bundle install${flags[*]:+ ${flags[*]}} with Bundler $BUNDLER_VERSION"
    if ! bundle install --quiet "${flags[@]}" 2>&1 | tee "$log" | indent; then
      explain_bundle_failure "$log"
    fi
    [[ ! -s $log ]] || say "Bundle complete."
    bundle clean >/dev/null 2>&1 || true
    # Logs of compilations and packed copies are of no use at run time.
    rm -rf vendor/bundle/ruby/*/cache
    find vendor/bundle -name 'gem_make.out' -o -name 'mkmf.log' | xargs -r rm -f
    rm -rf "$CACHE/bundle" "$CACHE/fingerprint"
    cp -a --reflink=auto vendor/bundle "$CACHE/bundle"
    # Last, so that a build killed half way leaves no fingerprint to a half copy.
    echo "$print" >"$CACHE/fingerprint"
  fi
  rm -f "$log"
}

# Whether vendor/cache holds every gem of the lock file, so that no source need be asked.
all_gems_are_vendored() {
  ruby -rbundler -e '
    lock = Bundler::LockfileParser.new(Bundler.read_file("Gemfile.lock"))
    wanted = lock.specs.select { |spec| spec.source.is_a?(Bundler::Source::Rubygems) }
    # Gems that are part of Ruby need not be installed.
    ours = ->(spec) { Gem::Specification.find_all_by_name(spec.name, spec.version).any?(&:default_gem?) }
    there = ->(spec) { !Dir["vendor/cache/#{spec.name}-#{spec.version}{,-*}.gem"].empty? }
    exit wanted.all? { |spec| there.(spec) || ours.(spec) }' 2>/dev/null
}

# Turns what Bundler said into what the user can do. $1: its log.
explain_bundle_failure() {
  local log=$1 line
  if line=$(grep -m1 -oE 'There was an error parsing `Gemfile`: .*|There was an error while loading `[^`]+`: .*' "$log"); then
    fail "The Gemfile cannot be read: ${line#*: }" "Correct it, commit and push again."
  fi
  if grep -qE 'The gemspecs for path gems changed|The dependencies in your gemfile changed|lockfile .* (frozen|does not satisfy)|deployment mode after changing|lockfile.*(is missing|needs to be updated)' "$log"; then
    fail "Gemfile and Gemfile.lock do not fit each other (see above)." "Run \`bundle install\`, commit Gemfile.lock and push again."
  fi
  if grep -qE 'only supports platforms|does not exist for|Add the current platform' "$log"; then
    fail "Gemfile.lock was made for another platform." "Run \`bundle lock --add-platform x86_64-linux\`, commit Gemfile.lock and push again."
  fi
  if line=$(grep -m1 -oE "Could not find .* (in|with) " "$log"); then
    line=$(sed -E "s/^Could not find (gem )?//; s/ (in|with) .*//; s/ (in|with) \$//" <<<"$line")
    fail "The gem $line cannot be had: no source has it, or it was taken back." \
      "Check its name and version in the Gemfile, run \`bundle update NAME\`, commit Gemfile.lock and push again." \
      "Where no source can be reached, commit the gems: \`bundle cache\`."
  fi
  if grep -qE 'Could not (reach|resolve|fetch specs)|Network error|Errno::(ECONN|EHOST)|SSL_connect|getaddrinfo|Bundler::HTTPError|Gem::RemoteFetcher' "$log"; then
    fail "The source of the gems could not be reached (see above)." \
      "Check the network and proxy settings of this machine, or commit the gems with the app (\`bundle cache\`), then push again."
  fi
  if line=$(grep -m1 -oE 'An error occurred while installing [^ ]+ \([^)]+\)' "$log"); then
    fail "A gem could not be built: ${line#An error occurred while installing }; its messages are above." \
      "It may need a library that the stack ${STACK:-} does not have, or a newer version of it may have a ready-made one."
  fi
  fail "\`bundle install\` failed; see its output above." "Try it in a fresh clone with Ruby ${RUBY_VERSION}, correct it and push again."
}

# Whether the app's bundle has the gem $1.
has_gem() { grep -qE "^    $1 \(" Gemfile.lock; }

write_environment_files() {
  mkdir -p .profile.d
  cp "$BUILDPACK_DIR/lib/profile.sh" .profile.d/ruby.sh
  sed -i "s|@SECRET@|${SECRET:-}|" .profile.d/ruby.sh
  # Settings of the app itself come first: Bundler reads the file, and variables win over it.
  printf 'export BUNDLE_PATH="%s/vendor/bundle" BUNDLE_WITHOUT="%s" BUNDLE_DEPLOYMENT=1\nexport PATH="%s/bin:$PATH"\n' \
    "$BUILD_DIR" "$BUNDLE_WITHOUT" "$BUILD_DIR" >"$BUILDPACK_DIR/export"
}

choose_web() {
  {
    printf '  rake: bundle exec rake\n'
    if is_rails; then
      printf '  console: bin/rails console\n  web: bin/rails server -p ${PORT:-5000} -e $RAILS_ENV\n'
    elif [[ -f config.ru ]]; then
      printf '  console: bundle exec irb\n'
      printf '  web: bundle exec rackup config.ru -p ${PORT:-5000}\n'
    else
      printf '  console: bundle exec irb\n'
    fi
  } >"$BUILDPACK_DIR/types"
  [[ ! -f Procfile && -z ${FOR_TESTS:-} ]] || return 0
  if is_rails; then
    if ! has_gem puma; then
      warn "The app is served by Rails' own choice of server: add the gem puma and a Procfile for a server made for many requests:" \
        "    web: bundle exec puma -C config/puma.rb"
    fi
  elif [[ -f config.ru ]]; then
    has_gem rackup || has_gem 'rack' ||
      fail "There is a config.ru, but the Gemfile has neither the gem rackup nor rack to start it." "Add the gem rackup, run \`bundle install\`, commit and push again."
  else
    warn "There is no Procfile and no config.ru, so no process will be started." \
      "Say how the app is run in a file named Procfile, for example:" "    web: bundle exec ruby app.rb -p \$PORT"
  fi
}
