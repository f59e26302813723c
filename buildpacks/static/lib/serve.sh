#!/usr/bin/env bash
# Serves the app's files on $PORT. Arguments go to nginx.
set -euo pipefail
# Servers are where only administrators usually look.
export PATH="$PATH:/usr/sbin"
app=${APP_DIR:-/app} place=${SERVE_DIR:-/tmp/static}
mkdir -p "$place"
sed -e "s|@PORT@|${PORT:-5000}|g" -e "s|@APP@|$app|g" -e "s|@PLACE@|$place|g" \
  "$app/.heroku/static/nginx.conf" >"$place/nginx.conf"
exec nginx -e stderr -c "$place/nginx.conf" "$@"
