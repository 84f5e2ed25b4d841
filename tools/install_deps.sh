#!/bin/sh
# Installs the Debian packages that building and testing need. Says nothing and does nothing when
# all are there.
set -eu
packages="g++ cmake ninja-build make nlohmann-json3-dev libspdlog-dev libfmt-dev libssl-dev
  libboost1.81-dev libgtest-dev python3 python3-pytest python3-psycopg2 postgresql postgresql-client curl"
if [ "${PGB_DEPS:-}" = all ]; then packages="$packages clang-14 libclang-rt-14-dev docker.io debootstrap iptables"; fi

missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: root or sudo is needed to install:$missing" >&2; exit 1; }
  as_root="sudo"
fi
echo "installing:$missing"
# Debian's package would start a server of its own on port 5432: nobody asked for it.
case "$missing" in *" postgresql "*|*" postgresql")
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $as_root mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi ;;
esac
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null || echo "warning: apt-get update failed; trying with the lists at hand" >&2
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
  -o Dpkg::Options::=--force-confold $missing >/dev/null
