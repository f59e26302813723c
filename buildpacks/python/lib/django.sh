# What Django apps need besides, and how they start without a Procfile. Sourced by bin/compile.

# How far below the root manage.py is looked for.
readonly MANAGE_PY_DEPTH_MAX=3

# The app's manage.py, if it is an app of Django.
manage_py() {
  find . -maxdepth "$MANAGE_PY_DEPTH_MAX" -name manage.py -type f -not -path './.heroku/*' -printf '%P\n' | sort | head -n 1
}

choose_web() {
  local manage
  [[ ! -f Procfile && -z ${FOR_TESTS:-} ]] || return 0
  manage=$(manage_py)
  if [[ $manage =~ ^[A-Za-z0-9._/+-]+$ ]] && python -c 'import django' 2>/dev/null; then
    warn "There is no Procfile: the app is served by Django's development server, which is not made for real use." \
      "Add gunicorn to the requirements, and a file named Procfile:" \
      "    web: gunicorn NAME.wsgi"
    echo "python $manage runserver 0.0.0.0:\$PORT" >"$BUILDPACK_DIR/web"
    return
  fi
  warn "There is no Procfile, so no process will be started." \
    "Say how the app is run in a file named Procfile, for example:" \
    "    web: gunicorn app:app"
}

collect_static() {
  local manage
  manage=$(manage_py)
  [[ -n $manage ]] && python -c 'import django' 2>/dev/null || return 0
  if [[ ${DISABLE_COLLECTSTATIC:-0} != 0 ]]; then
    header "Skipping collectstatic, since DISABLE_COLLECTSTATIC is set"
    return
  fi

  header "\$ python $manage collectstatic --noinput"
  # Static files that a settings module without STATIC_ROOT cannot place are no reason to refuse an API-only app.
  local log
  log=$(mktemp)
  if ! python "$manage" collectstatic --noinput --traceback 2>&1 | tee "$log" | indent; then
    if grep -q "without having set the STATIC_ROOT setting" "$log"; then
      say "Skipped: the app sets no STATIC_ROOT."
    else
      fail "Collecting the static files failed; the traceback is above." \
        "Correct the settings it names (config vars are set during the build), or set the config var" \
        "DISABLE_COLLECTSTATIC=1 when the app serves no static files, and push again."
    fi
  fi
  rm -f "$log"
}
