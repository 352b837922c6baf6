#!/bin/sh
# A key for each node of docker-compose.yml in the node's own volume, and the registry that names them all; a certificate for the
# gateway, which all may read, and its key in the gateway's volume. What is there stays as it is.
set -eu
root=$1 etp=${2:-etp} owner=${3:-etp:etp}
registry=$root/market/registry.toml certificate=$root/market/gateway.crt

# Nobody can sign others with it: who trusts it trusts this one server. The names are those by which nodes, Prometheus, browsers and
# the gateway's own check call it. openssl is in the image because Debian's ca-certificates depends on it.
if [ ! -e "$certificate" ]; then
  (umask 077; openssl req -config /dev/null -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj "/CN=etp gateway" -addext subjectAltName=DNS:gateway,DNS:localhost,IP:127.0.0.1 \
    -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
    -keyout "$root/gateway/gateway.key" -out "$certificate.new")
  chown -R "$owner" "$root/gateway"
  chmod 644 "$certificate.new"
  mv "$certificate.new" "$certificate"
fi

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
