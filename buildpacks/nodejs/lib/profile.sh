# Sourced when a dyno of a Node.js app starts.
if [ -d "$HOME/.heroku/node/bin" ]; then
  export PATH="$HOME/.heroku/node/bin:$PATH"
fi
export PATH="$HOME/node_modules/.bin:$PATH"
export NODE_ENV="${NODE_ENV:-production}"
# `npm start` has no business with the registry at run time.
export NPM_CONFIG_UPDATE_NOTIFIER="${NPM_CONFIG_UPDATE_NOTIFIER:-false}"

# Web processes that fit, for apps that start a cluster of them.
if [ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
  _memory_mb=$(($(cat /sys/fs/cgroup/memory/memory.limit_in_bytes) / 1048576))
  # An unlimited group reports a number far above any machine.
  if [ "$_memory_mb" -gt 0 ] && [ "$_memory_mb" -lt 614400 ]; then
    export MEMORY_AVAILABLE="$_memory_mb"
    export WEB_MEMORY="${WEB_MEMORY:-512}"
    _fitting=$((_memory_mb / WEB_MEMORY))
    export WEB_CONCURRENCY="${WEB_CONCURRENCY:-$((_fitting > 0 ? _fitting : 1))}"
  fi
  unset _memory_mb _fitting
fi
