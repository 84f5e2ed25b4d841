#!/bin/sh
# Brings the example cluster up and shows it. Run again: nothing to do. $1: folder of the programs.
set -eu
cd "$(dirname "$0")/.."
manager=./${1:-build/bin}/pgbalancer_cluster
file=examples/simple/pgbalancer_cluster_simple.json

"$manager" --init --config "$file"
echo
"$manager" --status --config "$file"
cat <<END

connect       $manager psql --config $file
for programs  $manager url --show-password --config $file
a server      $manager url --show-password --direct replica1 --config $file
lose the primary on purpose and see what clients notice
              $manager drill kill --config $file
move it       $manager switchover --config $file
take it away  $manager --destroy --config $file
END
