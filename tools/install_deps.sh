#!/bin/sh
# Installs the Debian packages that building and running need. Says nothing and does nothing when all
# are there. PGB_DEPS=test adds what the tests of drivers and of Docker want, PGB_DEPS=check the clang tools as well.
set -eu
packages="g++ cmake ninja-build make nlohmann-json3-dev libspdlog-dev libfmt-dev libssl-dev liburing-dev libpg-query-dev
  libboost1.81-dev libgtest-dev python3 python3-pytest python3-psycopg2 postgresql postgresql-client openssl"
engine="docker.io debootstrap iptables curl"
browser="chromium fonts-dejavu-core"
drivers="libpq-dev python3-psycopg default-jdk-headless libpostgresql-jdbc-java libdbd-pg-perl"
clang="clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14 clang-tools-14"

# Those of the arguments that are not installed.
missing_of() {
  # shellcheck disable=SC2016  # dpkg-query expands it
  have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p' || true)
  for package in "$@"; do
    printf '%s\n' "$have" | grep -qxF "$package" || printf '%s ' "$package"
  done
}

as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
updated=""
install_missing() {
  missing=$(missing_of "$@")
  missing=${missing% }
  [ -n "$missing" ] || return 0
  if [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
    echo "error: root or sudo is needed to install: $missing" >&2
    return 1
  fi
  echo "installing: $missing"
  case " $missing " in *" postgresql "*) forbid_default_server ;; esac
  if [ -z "$updated" ]; then
    $as_root apt-get update -q >/dev/null || echo "warning: apt-get update failed; trying with the lists at hand" >&2
    updated=1
  fi
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o Dpkg::Options::=--force-confold $missing >/dev/null
}

# Debian's package would start a server of its own on port 5432: nobody asked for it.
forbid_default_server() {
  [ ! -e /etc/postgresql-common/createcluster.conf ] || return 0
  $as_root mkdir -p /etc/postgresql-common
  echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
}

# The tests start an engine and servers of their own: the packages need not start the machine's.
install_quietly() {
  [ -n "$(missing_of "$@")" ] || return 0
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ] && { [ -z "$as_root" ] || command -v sudo >/dev/null; }; then
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
  fi
  install_missing "$@"
}

# Tests take node-postgres and what drives the browser from npm; some machines have a Node.js that is not Debian's.
node=""
command -v node >/dev/null && command -v npm >/dev/null || node="nodejs npm"

# Debian's packages enable servers for the next boot: nobody asked for them either.
install_without_service() {  # package, service
  [ -n "$(missing_of "$1")" ] || return 0
  install_quietly "$1" || return 1
  ! command -v systemctl >/dev/null || $as_root systemctl --quiet disable "$2"
}

# shellcheck disable=SC2086
install_missing $packages
case "${PGB_DEPS:-}" in
  test|check|all)
    # shellcheck disable=SC2086
    install_missing $drivers $node
    # shellcheck disable=SC2086
    install_quietly $engine || echo "warning: no container engine could be installed: the Docker tests will be skipped" >&2
    # shellcheck disable=SC2086
    install_missing $browser || echo "warning: no browser could be installed: the tests of the web page will be skipped" >&2
    install_without_service etcd-server etcd.service ||
      echo "warning: no etcd could be installed: the tests against it will be skipped" >&2
    install_without_service prometheus prometheus.service && install_missing python3-prometheus-client ||
      echo "warning: no Prometheus could be installed: the tests with it will be skipped" >&2
    install_without_service pgpool2 pgpool2.service ||
      echo "warning: no pgpool-II could be installed: the tests with its pcp_* clients will be skipped" >&2
    install_without_service haproxy haproxy.service ||
      echo "warning: no HAProxy could be installed: the test with it will be skipped" >&2
    install_missing python3-jsonschema ||
      echo "warning: no jsonschema could be installed: the tests of the REST interface will be skipped" >&2 ;;
esac
case "${PGB_DEPS:-}" in
  check|all)
    # shellcheck disable=SC2086
    install_missing $clang ;;
esac
