# How an app without a Procfile is run. Sourced by bin/compile.

# Jars that can be run, the largest first: it is the one with the dependencies in it.
runnable_jars() {
  local jar dir dirs=()
  for dir in target build/libs; do [[ ! -d $dir ]] || dirs+=("$dir"); done
  [[ ${#dirs[@]} -gt 0 ]] || return 0
  find "${dirs[@]}" -maxdepth 1 -name '*.jar' ! -name 'original-*' ! -name '*-sources.jar' ! -name '*-javadoc.jar' \
    ! -name '*-plain.jar' -printf '%s %p\n' 2>/dev/null | sort -rn | cut -d ' ' -f 2- | while IFS= read -r jar; do
    # Read to its end: a pipe that is closed early would look like a failure.
    if unzip -p "$jar" META-INF/MANIFEST.MF 2>/dev/null | grep '^Main-Class:' >/dev/null; then echo "$jar"; fi
  done
}

# Whether the build files name $1.
names() { grep -qs -- "$1" pom.* build.gradle build.gradle.kts; }

choose_web() {
  local jar port=
  [[ ! -f Procfile && -z ${FOR_TESTS:-} ]] || return 0
  if [[ -f target/quarkus-app/quarkus-run.jar ]]; then
    jar=target/quarkus-app/quarkus-run.jar port='-Dquarkus.http.port=$PORT '
  else
    jar=$(runnable_jars)
    jar=${jar%%$'\n'*}
    if names org.springframework.boot; then
      port='-Dserver.port=$PORT '
    elif names io.micronaut; then
      port='-Dmicronaut.server.port=$PORT '
    fi
  fi
  if [[ -n $jar && $jar =~ ^[A-Za-z0-9._/+-]+$ ]]; then
    echo "java $port\$JAVA_OPTS -jar $jar" >"$BUILDPACK_DIR/web"
  else
    warn "There is no Procfile and no jar that can be run by itself, so no process will be started." \
      "Say how the app is run in a file named Procfile, for example:" \
      "    web: java -cp target/classes:target/dependency/* com.example.Main"
  fi
}
