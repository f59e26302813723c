# Which Python: the stack's, checked against what the app asks for. Sourced by bin/compile.

# The stack's Python, for example 3.13.5.
stack_python() { /usr/bin/python3 -c 'import platform; print(platform.python_version())'; }

# The one line of .python-version that is neither empty nor a comment.
requested_python() {
  sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' .python-version
}

# The version that a Pipfile.lock asks for, if there is one and it can be read.
locked_python() {
  [[ ! -f Pipfile.lock ]] || /usr/bin/python3 -c '
import json
wanted = json.load(open("Pipfile.lock")).get("_meta", {}).get("requires", {})
print(wanted.get("python_full_version") or wanted.get("python_version") or "")' 2>/dev/null || true
}

check_python_version() {
  PYTHON_VERSION=$(stack_python) || fail "The stack ${STACK:-} has no python3, so it cannot build Python apps."
  readonly PYTHON_VERSION
  local series=${PYTHON_VERSION%.*}

  if [[ -f runtime.txt ]]; then
    fail "runtime.txt is no longer read: the version of Python is asked for in .python-version." \
      "Delete runtime.txt, write \`$series\` into a file named .python-version, commit and push again."
  fi
  local wanted
  if [[ ! -f .python-version ]]; then
    wanted=$(locked_python)
    if [[ -n $wanted && $PYTHON_VERSION != "$wanted" && $PYTHON_VERSION != "$wanted".* && ${wanted%.*} != "$series" ]]; then
      fail "This app asks for Python $wanted in its Pipfile, which is not available." \
        "Available on the stack ${STACK:-}: $PYTHON_VERSION" \
        "Write \`python_version = \"$series\"\` there, run \`pipenv lock\`, commit both files and push again."
    fi
    header "Using Python $PYTHON_VERSION of the stack (no .python-version)"
    return
  fi

  wanted=$(requested_python)
  if [[ ! $wanted =~ ^[0-9]+(\.[0-9]+){0,2}$ ]]; then
    fail "The file .python-version must hold one version, such as \`$series\`; it holds:" \
      "    $(head -n 3 .python-version | cut -c 1-60 | paste -sd ' ')" \
      "Python available on the stack ${STACK:-}: $PYTHON_VERSION"
  fi
  if [[ $PYTHON_VERSION == "$wanted" || $PYTHON_VERSION == "$wanted".* ]]; then
    header "Using Python $PYTHON_VERSION, as .python-version asks for ($wanted)"
  elif [[ ${wanted%.*} == "$series" ]]; then
    # A stack follows the security fixes of one series: refusing would break apps whenever it is rebuilt.
    header "Using Python $PYTHON_VERSION"
    warn ".python-version asks for $wanted; the stack has $PYTHON_VERSION of the same series, which is used." \
      "Write \`$series\` there to follow its security fixes."
  else
    fail "This app asks for Python $wanted in .python-version, which is not available." \
      "Available on the stack ${STACK:-}: $PYTHON_VERSION" \
      "Write \`$series\` into .python-version (or remove the file), commit and push again."
  fi
}
