#!/usr/bin/env bash
# heroku-php-nginx | heroku-php-apache2 [-C FRONT_INCLUDE] [-F FPM_INCLUDE] [-i PHP_INI] [DOCUMENT_ROOT]
# PHP-FPM behind the front that the name says, on $PORT. When either ends, both do.
set -euo pipefail

# Servers are where only administrators usually look.
export PATH="$PATH:/usr/sbin"
front=${0##*-} app=${APP_DIR:-/app} place=${SERVE_DIR:-/tmp/php}
conf=$app/.heroku/php/conf include= fpm_include= ini=
usage() {
  echo "usage: ${0##*/} [-C FRONT_INCLUDE] [-F FPM_INCLUDE] [-i PHP_INI] [DOCUMENT_ROOT]" >&2
  exit 2
}
while getopts 'C:F:i:' flag; do
  case $flag in
  C) include=$(realpath -e "$OPTARG") ;;
  F) fpm_include=$(realpath -e "$OPTARG") ;;
  i) ini=$(realpath -e "$OPTARG") ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
[[ $# -le 1 ]] || usage
root=$(realpath -e "$app/${1:-}") || { echo "The document root ${1:-} is not there." >&2; exit 1; }

# Children that fit: the dyno's memory over what one request may use.
limit=$(php -r 'echo ini_parse_quantity(ini_get("memory_limit"));' 2>/dev/null) || limit=
[[ $limit =~ ^[0-9]+$ && $limit -gt 0 ]] || limit=134217728
memory=536870912
if [[ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]]; then
  memory=$(cat /sys/fs/cgroup/memory/memory.limit_in_bytes)
  # An unlimited group reports a number far above any machine.
  [[ $memory -lt 644245094400 ]] || memory=536870912
fi
children=$((memory / limit))
children=${WEB_CONCURRENCY:-$((children > 0 ? children : 1))}

mkdir -p "$place"
fill() {
  sed -e "s|@PORT@|${PORT:-5000}|g" -e "s|@ROOT@|$root|g" -e "s|@PLACE@|$place|g" -e "s|@CHILDREN@|$children|g" \
    -e "s|@INCLUDE@|$include|g" -e "s|@FPM_INCLUDE@|$fpm_include|g" "$1"
}
fill "$conf/fpm.conf" | if [[ -n $fpm_include ]]; then cat; else grep -v '^include = *$'; fi >"$place/fpm.conf"
fill "$conf/$front.conf" >"$place/$front.conf"
if [[ -z $include ]]; then
  [[ $front != nginx ]] || include=$conf/nginx-default.conf
  sed -i -e "s|^\( *include\) ;|\1 $include;|" -e '/^ *Include *$/d' "$place/$front.conf"
fi

fpm=$(command -v php-fpm8.4 || command -v php-fpm || find /usr/sbin -name 'php-fpm*' | sort -V | tail -n 1)
flags=()
[[ -z $ini ]] || flags=(-c "$ini")
"$fpm" --nodaemonize --fpm-config "$place/fpm.conf" "${flags[@]}" &
fpm_pid=$!
for _ in $(seq 100); do
  [[ ! -S $place/fpm.sock ]] || break
  kill -0 "$fpm_pid" 2>/dev/null || exit 1
  sleep 0.05
done
echo "Starting $front on port ${PORT:-5000} with up to $children processes of PHP"
case $front in
nginx) nginx -e stderr -c "$place/nginx.conf" & ;;
apache2) apache2 -f "$place/apache2.conf" -D FOREGROUND & ;;
*) usage ;;
esac
front_pid=$!
trap 'kill -QUIT "$fpm_pid" "$front_pid" 2>/dev/null || true' TERM INT
status=0
wait -n "$fpm_pid" "$front_pid" || status=$?
kill -QUIT "$fpm_pid" "$front_pid" 2>/dev/null || true
wait || true
exit "$status"
