#!/usr/bin/env bash
# Installs the system packages that some tests use, as root and where apt is; elsewhere says what will be skipped.
set -u
missing=()
command -v strace >/dev/null || missing+=(strace)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null && exit 0
fi
echo "not installed: ${missing[*]}; the tests that need them are skipped"
