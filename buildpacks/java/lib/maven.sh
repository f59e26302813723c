# Builds with Maven. Sourced by bin/compile.

build_with_maven() {
  local maven=mvn log goals options
  if [[ -f mvnw && -f .mvn/wrapper/maven-wrapper.properties ]]; then
    chmod +x mvnw
    maven=./mvnw
    export MAVEN_USER_HOME=$CACHE_DIR/java/wrapper
  fi
  [[ -z $(property maven.version) || $maven == ./mvnw ]] ||
    warn "maven.version in system.properties is not used: the stack's Maven is. For another one, add the Maven wrapper to the app."

  options=(--batch-mode --no-transfer-progress "-Dmaven.repo.local=$CACHE_DIR/java/repository" -DskipTests
    "-Duser.home=/app" "-Dproject.build.outputTimestamp=1980-01-01T00:00:02Z" -DoutputFile=target/mvn-dependency-list.log)
  choose_settings
  [[ -z $SETTINGS ]] || options+=(--settings "$SETTINGS")
  read -ra goals <<<"${MAVEN_CUSTOM_GOALS:-clean dependency:list install}"
  header "Running $maven -DskipTests ${goals[*]}"
  log=$(mktemp)
  # shellcheck disable=SC2086 # the user's own options, one word each
  if ! MAVEN_OPTS="${MAVEN_JAVA_OPTS:--Xmx1024m}" $maven "${options[@]}" ${MAVEN_CUSTOM_OPTS:-} "${goals[@]}" 2>&1 |
    tee "$log" | grep --line-buffered -vE '^\[INFO\] *(-+.*)?$' | indent; then
    # The filter ends with 1 when there was nothing to show, which is no failure of Maven.
    grep -q 'BUILD SUCCESS' "$log" || explain_maven_failure "$log"
  fi
  rm -f "$log"
  # What Maven notes for the next build names this one's directory, and is of no use when the app runs.
  find . -type d -path '*/target/maven-status' -prune -exec rm -rf {} +
}

choose_settings() {
  SETTINGS=
  if [[ -n ${MAVEN_SETTINGS_PATH:-} ]]; then
    SETTINGS=$MAVEN_SETTINGS_PATH
    [[ -f $SETTINGS ]] || fail "The settings of Maven are not there: $SETTINGS (the config var MAVEN_SETTINGS_PATH)." \
      "Commit that file, or unset the config var, and push again."
  elif [[ -n ${MAVEN_SETTINGS_URL:-} ]]; then
    SETTINGS=$(mktemp)
    curl --fail --silent --show-error --location --max-time 30 "$MAVEN_SETTINGS_URL" -o "$SETTINGS" 2>&1 | indent ||
      fail "The settings of Maven could not be fetched from the address in the config var MAVEN_SETTINGS_URL."
  elif [[ -f settings.xml ]]; then
    SETTINGS=settings.xml
  fi
}

# Turns what Maven said into what the user can do. $1: its log.
explain_maven_failure() {
  local log=$1 line
  if line=$(grep -m1 -E 'Non-parseable POM|Malformed POM|Non-readable POM' "$log"); then
    fail "pom.xml cannot be read: $(sed -E 's/^\[[A-Z]+\] *//; s,/tmp/build_[0-9a-f]+/,,g' <<<"$line" | cut -c 1-200)" \
      "Correct it, commit and push again."
  fi
  if grep -qE 'Unknown host|Connection refused|Connect timed out|PKIX path building failed|Temporary failure in name' "$log"; then
    fail "The artifact repository could not be reached (see above)." \
      "Check the network, and Maven's settings.xml if the app has one, then push again."
  fi
  if line=$(grep -m1 -oE "(Could not find artifact|Non-resolvable parent POM for|Could not transfer artifact) [^ ]+" "$log"); then
    fail "The repository has no such artifact: ${line##* }" \
      "Check its group, name and version in pom.xml, commit and push again."
  fi
  if line=$(grep -m1 -oE 'release version [0-9]+ not supported|invalid target release: [0-9.]+|Unsupported class file major version [0-9]+' "$log"); then
    fail "The app asks for another Java than the one that builds it: $line." \
      "Write \`java.runtime.version=VERSION\` into system.properties (available: $(available_java)), or lower maven.compiler.release in pom.xml, and push again."
  fi
  if grep -q 'COMPILATION ERROR' "$log"; then
    fail "The app does not compile; the compiler's messages are above." \
      "Try \`mvn package\` in a fresh clone, correct it and push again."
  fi
  fail "Maven could not build the app; its first error is above." "Try \`mvn clean install\` in a fresh clone, correct it and push again."
}
