# What Rails apps need besides. Sourced by bin/compile.

is_rails() { has_gem railties && [[ -f config/application.rb || -f bin/rails ]]; }

# One secret an app, made once and kept: sessions outlive a deploy.
prepare_rails() {
  is_rails || return 0
  [[ -s $CACHE/secret ]] || openssl rand -hex 64 >"$CACHE/secret"
  SECRET=$(cat "$CACHE/secret")
  if [[ ! -f bin/rails ]]; then
    fail "There is no bin/rails in this Rails app." "Run \`bundle exec rails app:update:bin\`, commit bin/rails and push again."
  fi
  chmod +x bin/*
  precompile_assets
}

precompile_assets() {
  local log tasks
  [[ -z ${FOR_TESTS:-} ]] || return 0
  has_gem sprockets-rails || has_gem propshaft || return 0
  if compgen -G 'public/assets/manifest*.json' >/dev/null || compgen -G 'public/assets/.*manifest*.json' >/dev/null; then
    header "The assets are part of the sources; they are not compiled again"
    return
  fi
  log=$(mktemp)
  export SECRET_KEY_BASE_DUMMY=1 DISABLE_SPRING=1
  if ! tasks=$(bundle exec rake -P 2>"$log"); then
    indent <"$log" >&2
    fail "The app cannot be loaded: rake ends with the error above." \
      "Correct it (config vars are set during the build), commit and push again."
  fi
  grep -qx 'rake assets:precompile' <<<"$tasks" || return 0
  header "Running rake assets:precompile"
  if ! bundle exec rake assets:precompile 2>&1 | tee "$log" | indent; then
    fail "The assets could not be compiled; the error is above." \
      "Try \`RAILS_ENV=production bundle exec rake assets:precompile\` in a fresh clone, correct it and push again."
  fi
  rm -rf tmp/cache/assets
  rm -f "$log"
}
