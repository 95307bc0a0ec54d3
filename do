#!/usr/bin/env bash
# The one entry point of the project, for people and for CI. See `./do help`.
set -euo pipefail
cd "$(dirname "$0")"

preset=${MARTLET_PRESET:-release}
build_dir=build/$preset
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-$(nproc)}

build_packages=(
  build-essential g++ cmake ninja-build ccache pkg-config python3
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libssl-dev libzstd-dev
  liblz4-dev libnl-3-dev libnl-route-3-dev libsqlite3-dev libcli11-dev libfmt-dev libspdlog-dev
  nlohmann-json3-dev libtomlplusplus-dev libsystemd-dev libgtest-dev libgmock-dev libbenchmark-dev
  libxxhash-dev libcap-dev libbpf-dev libeigen3-dev
)
lint_packages=(clang-format-19 clang-tidy-19)
run_packages=(runc rsync nftables iproute2 iputils-ping procps openssl redis-server nginx-light)
bench_packages=(gnuplot-nox)
test_packages=(iptables redis-tools wrk postgresql postgresql-contrib memcached nodejs
  openjdk-17-jdk-headless prometheus-node-exporter fio spin qemu-system-x86 busybox-static)

usage() {
  cat <<'EOF'
usage: ./do COMMAND [ARGUMENTS]

  build          install what the build needs, then build (MARTLET_PRESET=release|dev|asan-ubsan)
  test [CTEST…]  build and run all tests; arguments go to ctest, e.g. ./do test -L unit
  demo           build, then move redis and nginx between three hosts under load
  bench [NAME…]  build, then measure; --write keeps the tables in bench/results/
  lint           format, clang-tidy and the layer check; lint --fix formats in place
  clean          remove all build output

build, test, demo, bench and lint install missing Debian packages when run as root;
test, demo and bench need root anyway.
EOF
}

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf './do: %s\n' "$*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root: sudo ./do $1"; }

# Installs the packages that are missing. Their services are not started: a server belongs into a
# container here, and one on the host would only take its port.
install_packages() {
  local missing=() name policy=/usr/sbin/policy-rc.d
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "missing packages (run as root to install them): ${missing[*]}"
  say "installing ${missing[*]}"
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; trap "rm -f $policy" EXIT; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Unpacks the distribution's own kernel, which one test runs in an emulated machine.
fetch_older_kernel() {
  local directory=build/older-kernel package
  [ ! -e $directory/.complete ] || return 0
  say "fetching the kernel of the distribution"
  package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  rm -rf $directory && mkdir -p $directory/package
  (cd $directory/package && apt-get download -qq "$package" 2>/dev/null)
  dpkg-deb -x $directory/package/*.deb $directory
  rm -r $directory/package
  busybox depmod -b $directory "$(basename $directory/lib/modules/*)"
  touch $directory/.complete
}

build() {
  install_packages "${build_packages[@]}"
  say "building ($preset)"
  cmake --preset "$preset" >/dev/null
  cmake --build "$build_dir"
}

run_tests() {
  need_root test
  install_packages "${build_packages[@]}" "${run_packages[@]}" "${test_packages[@]}"
  build
  fetch_older_kernel
  say "testing"
  ctest --test-dir "$build_dir" --output-on-failure --no-tests=error "$@"
}

lint() {
  install_packages "${build_packages[@]}" "${lint_packages[@]}"
  local sources
  mapfile -t sources < <(find src demo tests bench \( -name '*.cc' -o -name '*.h' -o -name '*.c' \) -print)
  if [ "${1:-}" = --fix ]; then clang-format-19 -i "${sources[@]}"; return; fi
  say "format"
  clang-format-19 --dry-run --Werror "${sources[@]}"
  say "layers"
  python3 tools/check_layers.py
  say "clang-tidy"
  cmake --preset tidy >/dev/null
  cmake --build build/tidy --target martlet_generated
  python3 tools/tidy.py build/tidy
  say "lint: no findings"
}

demo() {
  need_root demo
  install_packages "${build_packages[@]}" "${run_packages[@]}"
  build
  exec python3 demo/demo.py --build "$build_dir" "$@"
}

bench() {
  need_root bench
  install_packages "${build_packages[@]}" "${run_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}"
  build
  exec python3 bench/bench.py --build "$build_dir" "$@"
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
  build) build "$@" ;;
  test) run_tests "$@" ;;
  demo) demo "$@" ;;
  bench) bench "$@" ;;
  lint) lint "$@" ;;
  clean) rm -rf build ;;
  help | -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
