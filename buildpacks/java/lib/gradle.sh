# Builds with the app's own Gradle wrapper: the stack has no Gradle of today. Sourced by bin/compile.

build_with_gradle() {
  [[ -f gradlew && -f gradle/wrapper/gradle-wrapper.properties ]] ||
    fail "There is no Gradle wrapper in the app, and the stack has no Gradle of its own." \
      "Run \`gradle wrapper\`, commit gradlew and the directory gradle (gradle-wrapper.jar too), and push again."
  chmod +x gradlew
  export GRADLE_USER_HOME=$CACHE_DIR/java/gradle
  local log tasks
  if [[ -n ${GRADLE_TASK:-} ]]; then
    tasks=$GRADLE_TASK
  elif grep -qsE '\bstage\b' build.gradle build.gradle.kts; then
    tasks="stage"
  elif grep -qs 'org.springframework.boot' build.gradle build.gradle.kts; then
    tasks="bootJar"
  else
    tasks="build -x check"
  fi
  header "Running ./gradlew $tasks"
  log=$(mktemp)
  # shellcheck disable=SC2086 # tasks, one word each
  if ! ./gradlew --no-daemon --console=plain --init-script "$BUILDPACK_DIR/lib/reproducible.gradle" $tasks 2>&1 | tee "$log" | indent; then
    if grep -qE 'UnknownHostException|ConnectException|SSLHandshakeException|SocketTimeoutException|FileNotFoundException: http' "$log"; then
      fail "Gradle, or a dependency, could not be fetched (see above)." \
        "Check the network, and distributionUrl in gradle/wrapper/gradle-wrapper.properties, then push again."
    fi
    if grep -q "Task 'stage' not found" "$log"; then
      fail "The build has no task \`stage\`." "Add one that makes what the app runs, or name another in the config var GRADLE_TASK, and push again."
    fi
    fail "Gradle could not build the app; its first error is above." "Try \`./gradlew $tasks\` in a fresh clone, correct it and push again."
  fi
  rm -f "$log"
  # What Gradle notes for the next build names this one's directory and times, and is of no use when the app runs.
  rm -rf .gradle
  find . -type d -path '*/build/tmp' -prune -exec rm -rf {} +
}
