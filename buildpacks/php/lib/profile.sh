# Sourced when a dyno of a PHP app starts.
export PATH="$HOME/.heroku/php/bin:$HOME/vendor/bin:$PATH"
export LANG="${LANG:-en_US.UTF-8}"
