# Sourced when a dyno of a Java app starts.
export JAVA_HOME="@JAVA_HOME@"
export PATH="$JAVA_HOME/bin:$PATH"
export LANG="${LANG:-C.UTF-8}"

# Memory that fits the dyno, below what the app sets itself.
_java_flags=
if [ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
  _memory_mb=$(($(cat /sys/fs/cgroup/memory/memory.limit_in_bytes) / 1048576))
  if [ "$_memory_mb" -le 0 ] || [ "$_memory_mb" -ge 614400 ]; then
    # An unlimited group reports a number far above any machine.
    :
  elif [ "$_memory_mb" -le 512 ]; then
    _java_flags="-XX:MaxRAM=${_memory_mb}m -Xmx300m -Xss512k -XX:CICompilerCount=2"
  elif [ "$_memory_mb" -le 1024 ]; then
    _java_flags="-XX:MaxRAM=${_memory_mb}m -Xmx671m -XX:CICompilerCount=2"
  else
    _java_flags="-XX:MaxRAM=${_memory_mb}m -XX:MaxRAMPercentage=80.0"
  fi
fi
export JAVA_TOOL_OPTIONS="${_java_flags:+$_java_flags }-Dfile.encoding=UTF-8${JAVA_TOOL_OPTIONS:+ $JAVA_TOOL_OPTIONS}"
export JAVA_OPTS="${JAVA_OPTS:-}"
unset _memory_mb _java_flags

# The database's address in the forms of Java: scheme://user:password@host:port/name?options
if [[ ${DATABASE_URL:-} =~ ^(postgres|postgresql|mysql)://(([^:@/]*)(:([^@/]*))?@)?([^/?]+)(/([^?]*))?(\?(.*))?$ ]]; then
  _kind=${BASH_REMATCH[1]/#postgres*/postgresql}
  _options=${BASH_REMATCH[10]}
  export JDBC_DATABASE_USERNAME="${JDBC_DATABASE_USERNAME:-${BASH_REMATCH[3]}}"
  export JDBC_DATABASE_PASSWORD="${JDBC_DATABASE_PASSWORD:-${BASH_REMATCH[5]}}"
  export JDBC_DATABASE_URL="${JDBC_DATABASE_URL:-jdbc:$_kind://${BASH_REMATCH[6]}/${BASH_REMATCH[8]}?user=$JDBC_DATABASE_USERNAME&password=$JDBC_DATABASE_PASSWORD${_options:+&$_options}}"
  if [ "${DISABLE_SPRING_DATASOURCE_URL:-}" != true ]; then
    export SPRING_DATASOURCE_URL="${SPRING_DATASOURCE_URL:-$JDBC_DATABASE_URL}"
    export SPRING_DATASOURCE_USERNAME="${SPRING_DATASOURCE_USERNAME:-$JDBC_DATABASE_USERNAME}"
    export SPRING_DATASOURCE_PASSWORD="${SPRING_DATASOURCE_PASSWORD:-$JDBC_DATABASE_PASSWORD}"
  fi
  unset _kind _options
fi
