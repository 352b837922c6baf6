#!/bin/sh
# A key for each node of docker-compose.yml in the node's own volume, and the registry that names them all; made once.
set -eu
root=$1 etp=${2:-etp} owner=${3:-etp:etp}
registry=$root/market/registry.toml
if [ -e "$registry" ]; then exit 0; fi

rm -f "$registry.new"
$etp registry init --registry "$registry.new" --name compose
for node in bess-1=101 bess-2=102 bess-3=103 aggregator-1=500 aggregator-2=501 aggregator-3=502; do
  name=${node%=*} key=$root/${node%=*}/key.json
  [ -e "$key" ] || $etp keygen "$key"
  $etp registry add --registry "$registry.new" --device-id "${node#*=}" --role "${name%-*}" --key "$key"
  chown -R "$owner" "$root/$name"
done
chmod 644 "$registry.new"
mv "$registry.new" "$registry"
