# Sourced when a dyno of a Ruby app starts.
export PATH="$HOME/bin:$PATH"
export LANG="${LANG:-en_US.UTF-8}"
export BUNDLE_PATH="${BUNDLE_PATH:-$HOME/vendor/bundle}"
export BUNDLE_WITHOUT="${BUNDLE_WITHOUT:-development:test}"
export BUNDLE_DEPLOYMENT="${BUNDLE_DEPLOYMENT:-1}"
export RACK_ENV="${RACK_ENV:-production}"
export RAILS_ENV="${RAILS_ENV:-production}"
export RAILS_SERVE_STATIC_FILES="${RAILS_SERVE_STATIC_FILES:-enabled}"
export RAILS_LOG_TO_STDOUT="${RAILS_LOG_TO_STDOUT:-enabled}"
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-2}"
export PUMA_PERSISTENT_TIMEOUT="${PUMA_PERSISTENT_TIMEOUT:-95}"
export DISABLE_SPRING="${DISABLE_SPRING:-1}"
_secret="@SECRET@"
if [ -n "$_secret" ]; then
  export SECRET_KEY_BASE="${SECRET_KEY_BASE:-$_secret}"
fi
unset _secret
