# The virtual environment of the slug, made anew or taken from the last build. Sourced by bin/compile.

readonly CACHED_VENV=$CACHE/environment CACHED_FINGERPRINT=$CACHE/fingerprint

create_environment() {
  local real=$BUILD_DIR/.heroku/python
  # venv refuses a link as its place, so it is made in the real one; few of its files name it.
  /usr/bin/python3 -m venv --without-pip "$real" 2>&1 | indent ||
    fail "The virtual environment could not be made; see above."
  sed -i "s|$real|$VENV|g" "$VENV/pyvenv.cfg" "$VENV"/bin/activate*
  printf '#!/bin/sh\nexec /usr/bin/python3 -m pip --python %s/bin/python "$@"\n' "$VENV" >"$VENV/bin/pip"
  chmod +x "$VENV/bin/pip"
}

# Everything that decides what lies in the environment. A tool that makes an old one fit decides that by itself.
fingerprint() {
  {
    echo "$CACHE_FORMAT $MANAGER ${STACK:-} $PYTHON_VERSION"
    case $MANAGER in
    pip | pipenv | poetry) "$MANAGER"_inputs ;;
    *) ;;
    esac
  } | sha256sum | cut -d ' ' -f 1
}

install_requirements() {
  local print is_old=
  print=$(fingerprint)
  if [[ -d $CACHED_VENV && $(cat "$CACHED_FINGERPRINT" 2>/dev/null) == "$print" ]]; then
    is_old=yes
  fi
  case $MANAGER in
  pip | pipenv | poetry)
    if [[ -n $is_old ]] && ! "$MANAGER"_is_moving; then
      header "Restoring the installed requirements from the build cache"
      cp -a --reflink=auto "$CACHED_VENV/." "$VENV/"
      say "The requirements and Python are unchanged."
      return
    fi
    ;;
  *) [[ -z $is_old ]] || cp -a --reflink=auto "$CACHED_VENV/." "$VENV/" ;;
  esac
  install_with_"$MANAGER"
  # A slug's files have one constant time, so bytecode that is checked by time could go stale unseen.
  "$VENV/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$VENV/lib" >/dev/null ||
    say "Some files of the requirements do not compile; they are kept as they are."

  rm -rf "$CACHED_VENV" "$CACHED_FINGERPRINT"
  mkdir -p "$CACHED_VENV"
  cp -a --reflink=auto "$VENV/." "$CACHED_VENV/"
  # Last, so that a build killed half way leaves no fingerprint to a half copy.
  echo "$print" >"$CACHED_FINGERPRINT"
}

# What is installed in place names where it lies: here now, in /app when it runs.
move_editable_sources() {
  local found
  # Nothing is found in most apps, which is no failure.
  found=$(grep -rlIF --include='*.pth' --include='__editable__*' --include=direct_url.json "$BUILD_DIR" \
    "$VENV"/lib/python*/site-packages 2>/dev/null) || return 0
  xargs -r -d '\n' sed -i "s|$BUILD_DIR|/app|g" <<<"$found"
}
