# gems.sh OUT: the gems of Sinatra and Rails as Debian has them, for apps of tests where no source of gems can be reached.
# Runs as root on the stack's build layers with Ruby, over which everything is thrown away afterwards.
set -eu
apt-get -q update
apt-get -q -y --no-install-recommends install ruby-sinatra ruby-rackup puma ruby-rails ruby-webrick
ruby "$(dirname "$0")/pack.rb" "$1"
