#!/bin/sh
# Brings the example cluster up and shows it. Run again: nothing to do.
set -eu
cd "$(dirname "$0")/.."
file=examples/simple/pgbalancer_cluster_simple.json
./build/bin/pgbalancer_cluster --init --config "$file"
./build/bin/pgbalancer_cluster --status --config "$file"
echo
echo "password: ./build/bin/pgbalancer_cluster url --show-password --config $file"
echo "take it away: ./build/bin/pgbalancer_cluster --destroy --config $file"
