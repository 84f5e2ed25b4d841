#!/bin/sh
# Builds the fuzz targets with clang and runs each for $1 seconds. Fails at the first finding.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
CXX=clang++-14 cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPGB_FUZZ=ON \
  -DPGB_SANITIZE=fuzzer-no-link,address,undefined >/dev/null
targets=$(cd tests/fuzz && ls ./*_fuzz.cc | sed 's|^\./||; s|\.cc$||')
# shellcheck disable=SC2086
cmake --build build-fuzz --target $targets
for target in $targets; do
  echo "fuzz: $target, $seconds s"
  mkdir -p "build-fuzz/corpus/$target"
  seeds="tests/corpus/fuzz/$target"
  [ -d "$seeds" ] || seeds=
  find build-fuzz -type f -name "$target" -perm -u+x -exec {} -max_total_time="$seconds" -print_final_stats=1 \
    "build-fuzz/corpus/$target" $seeds \; > "build-fuzz/$target.log" 2>&1 || { tail -40 "build-fuzz/$target.log"; exit 1; }
  if grep -q 'SUMMARY:' "build-fuzz/$target.log"; then tail -40 "build-fuzz/$target.log"; exit 1; fi
  grep number_of_executed "build-fuzz/$target.log"
done
