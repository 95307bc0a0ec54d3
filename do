#!/usr/bin/env bash
# One entry point for people and machines: ./do build|test|demo|lint|bench|clean.
set -euo pipefail
cd "$(dirname "$0")"
preset=${MARTLET_PRESET:-release}
build_dir=build/$preset
case ${1:-help} in
  build) [ -f "$build_dir/build.ninja" ] || cmake --preset "$preset" >/dev/null; cmake --build "$build_dir" -- ${MARTLET_TARGETS:-} ;;
esac
