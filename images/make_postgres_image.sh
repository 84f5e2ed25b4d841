#!/bin/bash
# Makes the image postgres:N from Debian's own packages, for machines that reach a Debian mirror but no
# image registry. Needs root (for chroot), debootstrap, and the docker command or curl.
set -euo pipefail
shopt -s inherit_errexit

usage() {
  cat <<'END'
usage: make_postgres_image.sh [--rebuild] [--tar-only] [--name NAME] [SUITE]

  SUITE      Debian suite: trixie (PostgreSQL 17, the default), bookworm (15), sid (18), ...
  --rebuild  make the root file system anew although it is in the cache
  --tar-only only make the tar; print its path
  --name     the image's name instead of postgres:N

environment:
  PGB_MIRROR       Debian mirror; default: the one that this machine's apt uses
  PGB_IMAGE_CACHE  where the root file system is kept; default: ~/.cache/pgbalancer
  DOCKER_HOST      the engine, as for the docker command (unix:// or tcp://)
END
}

say() { echo "make_postgres_image: $*" >&2; }
die() { say "$1"; shift; for line in "$@"; do echo "  try: $line" >&2; done; exit 1; }

suite=trixie rebuild='' tar_only='' name=''
while [ $# -gt 0 ]; do
  case $1 in
    --rebuild) rebuild=1 ;;
    --tar-only) tar_only=1 ;;
    --name) name=${2:?--name wants a name}; shift ;;
    -h|--help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) suite=$1 ;;
  esac
  shift
done
[[ $suite =~ ^[a-z][a-z0-9-]*$ ]] || die "'$suite' is no name of a Debian suite" "trixie"

cache=${PGB_IMAGE_CACHE:-$HOME/.cache/pgbalancer}
arch=$(dpkg --print-architecture)
work=

clean_up() {
  [ -n "$work" ] || return 0
  for dir in proc dev; do mountpoint -q "$work/tree/$dir" && umount "$work/tree/$dir"; done
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What apt uses for one kind of archive: the first site whose path ends as given.
apt_site() {
  # shellcheck disable=SC2016  # apt expands it
  apt-get indextargets --format '$(REPO_URI)' | sed 's,/*$,,' | sort -u | grep -m1 -E "$1\$" || true
}

write_sources() {
  local root=$1 mirror=$2 security
  echo "deb $mirror $suite main" > "$root/etc/apt/sources.list"
  security=$(apt_site '/debian-security')
  case $suite in
    sid|unstable|testing) ;;
    *) [ -z "$security" ] || echo "deb $security $suite-security main" >> "$root/etc/apt/sources.list" ;;
  esac
}

in_root() { DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$work/tree" "$@"; }

install_server() {
  local root=$work/tree major
  # Packages must neither start a server nor make one: the agent does both.
  printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  mkdir -p "$root/etc/postgresql-common"
  echo 'create_main_cluster = false' > "$root/etc/postgresql-common/createcluster.conf"
  # The proxy of this machine's apt, if it has one.
  apt-config dump | grep -E '^Acquire::(http|https)(::[^ ]*)?::Proxy ' > "$root/etc/apt/apt.conf.d/99proxy" || true
  mount --bind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  in_root apt-get -q update >&2
  major=$(in_root apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\).*/\1/p' | head -1)
  [ -n "$major" ] || die "suite $suite has no package postgresql"
  in_root apt-get -q install -y --no-install-recommends -o Dpkg::Options::=--force-confold \
    "postgresql-$major" >&2
  in_root apt-get -q clean >&2
  umount "$root/proc" "$root/dev"
  rm -rf "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info}/* "$root"/var/cache/apt/*.bin \
    "$root"/var/log/* "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/99proxy" "$root/etc/resolv.conf" \
    "$root/etc/hostname"
  [ -x "$root/usr/lib/postgresql/$major/bin/postgres" ] || die "the packages brought no postgres program"
  echo "$major"
}

make_tar() {
  local mirror major partial
  [ "$(id -u)" = 0 ] || die "only root can make a root file system" "sudo $0 $suite"
  command -v debootstrap > /dev/null || die "the program debootstrap is missing" "apt-get install debootstrap"
  mirror=${PGB_MIRROR:-$(apt_site '/debian')}
  [ -n "$mirror" ] || die "this machine's apt knows no Debian mirror" "set PGB_MIRROR to one"
  mkdir -p "$cache"
  # The tree needs a file system with devices and programs; the cache need not be one.
  work=$(mktemp -d "${TMPDIR:-/var/tmp}/pgb-image.XXXXXX")
  say "installing $suite from $mirror"
  debootstrap --variant=minbase "$suite" "$work/tree" "$mirror" >&2 ||
    die "debootstrap failed" "another suite, or PGB_MIRROR with a mirror that has $suite"
  write_sources "$work/tree" "$mirror"
  major=$(install_server)
  partial=$cache/.$suite-$arch.$$
  tar -C "$work/tree" --numeric-owner --one-file-system --sort=name -cf "$partial" .
  mv "$partial" "$cache/$suite-$arch-postgres-$major.tar"
  clean_up
  work=
}

cached_tar() {
  [ -d "$cache" ] || return 0
  find "$cache" -maxdepth 1 -name "$suite-$arch-postgres-*.tar" | sort -V | tail -1
}

# Imports over the Engine's API, for machines without the docker command.
import_with_curl() {
  local file=$1 repository=$2 tag=$3 url query='' answer change
  shift 3
  local -a where=()
  case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix://*) where=(--unix-socket "${DOCKER_HOST:+${DOCKER_HOST#unix://}}"); url=http://localhost
      [ -n "${where[1]}" ] || where[1]=/var/run/docker.sock ;;
    tcp://*) url=http://${DOCKER_HOST#tcp://} ;;
    *) die "DOCKER_HOST=$DOCKER_HOST is of no known kind" "unix:///path or tcp://address:port" ;;
  esac
  for change in "$@"; do
    change=${change// /%20}
    query+="&changes=${change//=/%3D}"
  done
  answer=$(curl -sS "${where[@]}" -X POST -H 'Content-Type: application/x-tar' -H 'Expect:' -T "$file" \
    "$url/images/create?fromSrc=-&repo=${repository//\//%2F}&tag=$tag$query") ||
    die "no container engine answers at ${DOCKER_HOST:-/var/run/docker.sock}" "systemctl start docker"
  case $answer in
    *'"error"'* | *'"message"'*) die "the engine refused the image: $answer" ;;
  esac
}

file=$(cached_tar)
if [ -n "$rebuild" ] || [ -z "$file" ]; then
  make_tar
  file=$(cached_tar)
else
  say "using $file (--rebuild makes it anew)"
fi
if [ -n "$tar_only" ]; then
  echo "$file"
  exit 0
fi

major=${file##*-postgres-}
major=${major%.tar}
name=${name:-postgres:$major}
repository=${name%:*} tag=${name##*:}
[ "$repository" != "$name" ] || tag=latest
changes=("ENV PATH=/usr/lib/postgresql/$major/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  "ENV LANG=C.UTF-8" "ENV PG_MAJOR=$major" "CMD [\"postgres\"]")
if command -v docker > /dev/null; then
  options=()
  for change in "${changes[@]}"; do options+=(--change "$change"); done
  docker import "${options[@]}" "$file" "$repository:$tag" > /dev/null
else
  command -v curl > /dev/null || die "neither docker nor curl is there" "apt-get install curl"
  import_with_curl "$file" "$repository" "$tag" "${changes[@]:0:3}"
fi
echo "$repository:$tag"
