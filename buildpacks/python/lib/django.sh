# Collects the static files of a Django app. Sourced by bin/compile.

# How far below the root manage.py is looked for.
readonly MANAGE_PY_DEPTH_MAX=3

collect_static() {
  local manage
  manage=$(find . -maxdepth "$MANAGE_PY_DEPTH_MAX" -name manage.py -type f -not -path './.heroku/*' | sort | head -n 1)
  [[ -n $manage ]] && python -c 'import django' 2>/dev/null || return 0
  if [[ ${DISABLE_COLLECTSTATIC:-0} != 0 ]]; then
    header "Skipping collectstatic, since DISABLE_COLLECTSTATIC is set"
    return
  fi

  header "\$ python ${manage#./} collectstatic --noinput"
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
