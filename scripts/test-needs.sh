#!/usr/bin/env bash
# Installs the programs that some tests use, as root (in CI by sudo) and where apt is; elsewhere says what will be skipped.
set -u
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
programs=(strace curl shellcheck openssl nginx haproxy squid caddy chromium) # the packages have the same names
servers=(nginx haproxy squid caddy)
policy=/usr/sbin/policy-rc.d

missing=()
for program in "${programs[@]}"; do
  command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null; then
  if [ "$(id -u)" -ne 0 ] && [ "${CI:-}" = true ] && sudo -n true 2>/dev/null; then
    exec sudo -n CI=true "$0"
  fi
  if [ "$(id -u)" -eq 0 ]; then
    # The tests start servers of their own: the packages' services stay off, now and at the next boot.
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    apt-get update -qq >/dev/null
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
      for package in "${missing[@]}"; do # not every system has all of them
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null
      done
    for server in "${servers[@]}"; do
      case " ${missing[*]} " in *" $server "*) ;; *) continue ;; esac
      update-rc.d "$server" disable >/dev/null 2>&1
      command -v systemctl >/dev/null && systemctl disable "$server" >/dev/null 2>&1
    done
    hash -r
  fi
fi

lacking=()
for program in "${missing[@]}"; do
  command -v "$program" >/dev/null || lacking+=("$program")
done
[ ${#lacking[@]} -eq 0 ] && exit 0
echo "not installed: ${lacking[*]}; the tests that need them are skipped"
