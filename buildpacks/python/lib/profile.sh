# Sourced when a dyno of a Python app starts.
export PATH="/app/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export PYTHONPATH="${PYTHONPATH:-/app}"
export LANG="${LANG:-en_US.UTF-8}"
# The router is the only one who reaches a dyno's port.
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS:-*}"
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS:---access-logfile -}"
unset PYTHONHOME

# Web processes that fit: one per 256 MB, and no more than two per core and one.
if [ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
  _memory_mb=$(($(cat /sys/fs/cgroup/memory/memory.limit_in_bytes) / 1048576))
  # An unlimited group reports a number far above any machine.
  if [ "$_memory_mb" -gt 0 ] && [ "$_memory_mb" -lt 614400 ]; then
    export DYNO_RAM="$_memory_mb"
    _by_memory=$((_memory_mb / 256))
    _by_cores=$((2 * $(nproc) + 1))
    _fitting=$((_by_memory < _by_cores ? _by_memory : _by_cores))
    export WEB_CONCURRENCY="${WEB_CONCURRENCY:-$((_fitting > 0 ? _fitting : 1))}"
  fi
  unset _memory_mb _by_memory _by_cores _fitting
fi
