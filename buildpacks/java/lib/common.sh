# How a buildpack speaks and reads config vars; the same file in every built-in buildpack. Sourced, never run.

header() { printf -- '-----> %s\n' "$*"; }
say() { printf '       %s\n' "$*"; }

# Each argument is one line of a message that the reader must act on.
warn() { printf ' !     %s\n' "$@" >&2; }

# Ends the build with a blank line and the message.
fail() {
  echo >&2
  warn "$@"
  exit 1
}

# A filter for the output of other programs.
indent() { sed -u 's/^/       /'; }

# Config vars that would change which programs run, or how this shell itself works.
readonly DENIED_VARS='^(PATH|HOME|IFS|ENV|BASH.*|SHELLOPTS|E?UID|PPID|GROUPS|FUNCNAME|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LIBRARY_PATH|PYTHONHOME)$'

# Exports each file of the directory $1 (name: the variable, contents: its value), except the denied ones.
export_config_vars() {
  local file name
  [[ -d "$1" ]] || return 0
  for file in "$1"/*; do
    name=${file##*/}
    [[ -f $file && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ $DENIED_VARS ]] || continue
    # The dot keeps trailing newlines of the value, which a command substitution would strip.
    local value
    value=$(cat "$file" && printf .)
    export "$name=${value%.}"
  done
}
