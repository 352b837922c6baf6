#!/bin/sh
# Makes the passwords of docker-compose.yml's servers, once, into deploy/compose/secrets; prints none of them.
# The directory is for its owner alone; the files can be read by the containers' users.
set -eu
directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
chmod 700 "$directory"

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

keep() { # NAME, its text on stdin; an existing one stays
  [ -e "$directory/$1" ] || { cat > "$directory/$1.new" && chmod 644 "$directory/$1.new" && mv "$directory/$1.new" "$directory/$1"; }
}

secret | keep postgres-password
secret | keep grafana-password
printf 'ETP_DATABASE=postgresql+asyncpg://etp:%s@postgres/etp\n' "$(cat "$directory/postgres-password")" | keep gateway.env
echo "made in $directory: $(ls "$directory" | tr '\n' ' ')"
