# Which Java. Sourced by bin/compile and bin/layers.

# A property of system.properties.
property() {
  [[ -f system.properties ]] || return 0
  sed -nE "s/^[[:space:]]*${1//./\\.}[[:space:]]*[=:][[:space:]]*([^[:space:]]+)[[:space:]]*\$/\1/p" system.properties | tail -n 1
}

requested_java() { property java.runtime.version; }

# The homes of those on the stack.
java_homes() { find /usr/lib/jvm -maxdepth 1 -type d -name 'java-[0-9]*-openjdk-*' 2>/dev/null | sort -V; }

# Those that the stack has, the usual one first.
available_java() {
  case ${STACK:-} in
  heroku-22) echo 17 ;;
  *) echo 21, 25 ;;
  esac
}

choose_java() {
  local wanted major home usual
  wanted=$(requested_java)
  usual=$(available_java)
  usual=${usual%%,*}
  major=${wanted:-$usual}
  # The series before 9 were written 1.8.
  major=${major#1.}
  major=${major%%.*}
  home=$(java_homes | grep -E "/java-$major-openjdk-" | head -n 1 || true)
  [[ -n $home && -x $home/bin/javac ]] || fail "This app asks for Java $wanted in system.properties, which is not available." \
    "Available on the stack ${STACK:-}: $(available_java)" \
    "Write \`java.runtime.version=$usual\` there (or remove the line), commit and push again."
  export JAVA_HOME=$home
  export PATH="$JAVA_HOME/bin:$PATH"
  local version
  version=$(sed -nE 's/^JAVA_VERSION="(.*)"/\1/p' "$JAVA_HOME/release")
  header "Using OpenJDK $version${wanted:+, as system.properties asks for ($wanted)}"
}
