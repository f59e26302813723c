# Which PHP, and Composer's work. Sourced by bin/compile.

check_php() {
  local program
  for program in php composer; do
    command -v "$program" >/dev/null || fail "The stack ${STACK:-} has no $program, so it cannot build PHP apps."
  done
  PHP_VERSION=$(php -r 'echo PHP_VERSION;')
  readonly PHP_VERSION
  local wanted
  if [[ ! -f composer.json ]]; then
    header "Using PHP $PHP_VERSION of the stack (no composer.json)"
    return
  fi
  local said
  said=$(php -r '$text = json_decode(file_get_contents("composer.json"), true);
    if (!is_array($text)) { echo json_last_error_msg(); exit(1); }' 2>&1) ||
    fail "composer.json cannot be read: $said" "Correct it (\`composer validate\` tells where), commit and push again."
  wanted=$(php -r '$text = json_decode(file_get_contents("composer.json"), true); echo $text["require"]["php"] ?? "";')
  header "Using PHP $PHP_VERSION${wanted:+ (composer.json asks for $wanted)}"
  require_extensions
}

# Composer would ask the list of packages first, and tell of that one alone if it cannot be reached.
require_extensions() {
  local missing
  missing=$(php -r '$text = json_decode(file_get_contents("composer.json"), true);
    foreach (array_keys($text["require"] ?? []) as $name) {
      if (str_starts_with($name, "ext-") && !extension_loaded(str_replace("zend-", "zend ", substr($name, 4)))) echo "$name ";
    }')
  [[ -z $missing ]] || fail "The app needs a PHP extension that the stack ${STACK:-} does not have: $missing" \
    "Those there are: $(php -m | grep -E '^[a-zA-Z]' | paste -sd ' ')"
}

# Whether composer.json asks for packages, not only for PHP and its extensions.
asks_for_packages() {
  php -r '$text = json_decode(file_get_contents("composer.json"), true);
    foreach (array_keys($text["require"] ?? []) as $name) { if (str_contains($name, "/")) exit(0); } exit(1);'
}

install_packages() {
  [[ -f composer.json ]] || return 0
  if [[ ! -f composer.lock ]]; then
    ! asks_for_packages || fail "There is no composer.lock: without it the versions would differ from one build to the next." \
      "Run \`composer update\`, commit composer.lock and push again."
  elif ! php -r 'exit(is_array(json_decode(file_get_contents("composer.lock"), true)) ? 0 : 1);'; then
    fail "composer.lock cannot be read." "Run \`composer update --lock\`, commit it and push again."
  fi
  local log
  log=$(mktemp)
  export COMPOSER_CACHE_DIR=$CACHE_DIR/php/composer COMPOSER_HOME=/tmp/composer COMPOSER_ALLOW_SUPERUSER=1
  export COMPOSER_NO_INTERACTION=1 COMPOSER_NO_AUDIT=1 COMPOSER_MIRROR_PATH_REPOS=1
  mkdir -p "$COMPOSER_CACHE_DIR" "$COMPOSER_HOME"
  if [[ -n ${COMPOSER_GITHUB_OAUTH_TOKEN:-} ]]; then
    composer config --global github-oauth.github.com "$COMPOSER_GITHUB_OAUTH_TOKEN" >/dev/null 2>&1 || true
  fi
  local without=(--no-dev)
  [[ -z ${FOR_TESTS:-} ]] || without=()
  header "Running composer install${without[*]:+ ${without[*]}}"
  if ! composer install "${without[@]}" --prefer-dist --optimize-autoloader --no-interaction --no-progress --no-ansi 2>&1 |
    tee "$log" | indent; then
    explain_composer_failure "$log"
  fi
  if composer run-script --list 2>/dev/null | grep -qE '^ +compile\b'; then
    header "Running composer compile"
    composer run-script --no-ansi compile 2>&1 | indent || fail "The script compile of composer.json failed; see its output above."
  fi
  rm -f "$log"
}

# Turns what Composer said into what the user can do. $1: its log.
explain_composer_failure() {
  local log=$1 line
  if line=$(grep -m1 -oE 'requires php [^(]*(->|but) your php version \([^)]*\)[^.]*|your php version \([^)]*\) does not satisfy that requirement' "$log"); then
    fail "This app asks for another PHP: $line" \
      "Available on the stack ${STACK:-}: $PHP_VERSION" \
      "Change \`require.php\` in composer.json (or the package that asks for it), run \`composer update\`, commit and push again."
  fi
  if line=$(grep -m1 -oE 'requires? (PHP extension )?ext-[a-z0-9_]+' "$log"); then
    fail "The app needs a PHP extension that the stack ${STACK:-} does not have: ${line##* }" \
      "Those there are: $(php -m | grep -E '^[a-z]' | paste -sd ' ')"
  fi
  if grep -qE 'lock file is not up to date|is not present in the lock file|Required package .* is not present' "$log"; then
    fail "composer.json and composer.lock do not fit each other (see above)." "Run \`composer update\`, commit composer.lock and push again."
  fi
  if grep -qE 'curl error (6|7|28|35|60)|Could not resolve host|Failed to connect|could not be downloaded|SSL certificate problem' "$log"; then
    fail "A package, or the list of them, could not be fetched (see above)." \
      "Check the network and proxy settings of this machine, and the package's address in composer.lock, then push again."
  fi
  if line=$(grep -m1 -oE 'Root composer.json requires [^ ]+|Could not find (a matching version of )?package [^ ]+' "$log"); then
    fail "A package cannot be had: ${line##* }" "Check its name and version in composer.json, run \`composer update\`, commit and push again."
  fi
  fail "\`composer install\` failed; see its output above." "Try it in a fresh clone with PHP $PHP_VERSION, correct it and push again."
}
