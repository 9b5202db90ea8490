#!/bin/sh
# Installs a FileFlux agent from the hub that served this script, or brings an installed one to this hub's version.
# Everything is in functions and the last line calls the first of them: a download that was cut off runs nothing.
set -eu

HUB='@HUB@'
WHEEL='@WHEEL@'
VERSION='@VERSION@'
SHA256='@SHA256@'
UNIT=/etc/systemd/system/fileflux-agent.service

usage() {
  cat <<EOF
Installs a FileFlux agent $VERSION from $HUB.

  curl -fsSL $HUB/install.sh | sh
  curl -fsSL $HUB/install.sh | sh -s -- --token-file FILE --read DIR --write DIR

  --token-file FILE  holds the agent's token; asked for when there is a terminal
  --read DIR         a directory that jobs may read; may be repeated; none if not given
  --write DIR        a directory that jobs may write; may be repeated; none if not given
  --name NAME        shown at the hub; the host's name if not given
  --hub URL          the hub's address as this machine reaches it, if not $HUB
  --ca-file FILE     the certificate of the hub's own CA, or of the CA that signed the hub's certificate
  --insecure         allow plain http to another machine: the token and all files can be read on the way
  --prefix DIR       where to install; /opt/fileflux-agent for root, ~/.local/share/fileflux-agent for others
  --wheelhouse DIR   take the packages that the agent needs from this directory, and none from an index
  --service          as root, with systemd: start the agent now and at every boot
  --user NAME        with --service: run it as this user; root, or the one before, if not given
  --uninstall        remove the agent, its configuration and its token from --prefix

Run it again to upgrade: the configuration stays as it is; --token-file replaces the token.
EOF
}

say() { printf '%s\n' "$*"; }

die() {
  printf 'install: %s\n' "$*" >&2
  exit 1
}

wrong() {
  printf 'install: %s; --help lists the options\n' "$*" >&2
  exit 2
}

main() {
  unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
  umask 022
  hub=$HUB token_file='' ca_file='' wheelhouse='' prefix='' user=''
  insecure=false service=false uninstall=false roots=false upgrade=false
  work='' building='' echo_off=''
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' HUP TERM

  # What the configuration needs is put behind the arguments that are still to be read: a shell has only this one list.
  left=$#
  while [ "$left" -gt 0 ]; do
    option=$1
    shift
    left=$((left - 1))
    case $option in
      --help | --insecure | --service | --uninstall) ;;
      --token=* | --token) wrong 'other users see command lines: put the token into a file and give --token-file FILE' ;;
      --help=* | --insecure=* | --service=* | --uninstall=*) wrong "${option%%=*} takes no value" ;;
      --*=*)
        value=${option#*=}
        option=${option%%=*}
        ;;
      --token-file | --read | --write | --name | --hub | --ca-file | --prefix | --wheelhouse | --user)
        [ "$left" -gt 0 ] || wrong "$option needs a value"
        value=$1
        shift
        left=$((left - 1))
        ;;
      *) wrong "$option is not known" ;;
    esac
    case $option in
      --help)
        usage
        exit 0
        ;;
      --insecure)
        insecure=true
        set -- "$@" --insecure
        ;;
      --service) service=true ;;
      --uninstall) uninstall=true ;;
      --token-file)
        is_readable "$value" || die "cannot read the token file $value: correct --token-file"
        token_file=$(absolute "$value")
        ;;
      --read | --write)
        [ -d "$value" ] || die "$option $value: this is not a directory; make it first or correct the path"
        roots=true
        set -- "$@" "$option=$(absolute "$value")"
        ;;
      --name) set -- "$@" "--name=$value" ;;
      --hub) hub=${value%/} ;;
      --ca-file)
        is_readable "$value" || die "cannot read the certificate $value: correct --ca-file"
        ca_file=$(absolute "$value")
        set -- "$@" "--ca-file=$ca_file"
        ;;
      --prefix) prefix=$(absolute "$value") ;;
      --wheelhouse)
        [ -d "$value" ] || die "--wheelhouse $value: this is not a directory"
        wheelhouse=$(absolute "$value")
        ;;
      --user) user=$value ;;
      *) wrong "$option is not known" ;;
    esac
  done

  choose_places
  if $uninstall; then
    remove_all
    exit 0
  fi
  check_wishes
  find_python
  work=$(mktemp -d) || die 'cannot make a temporary directory: free some space in /tmp, or set TMPDIR'
  check_prefix
  if [ -f "$config" ]; then
    upgrade=true
  else
    [ -n "$token_file" ] || ask_token
    if ! $roots && terminal; then
      for kind in read write; do
        ask_root "$kind"
        while [ -n "$answer" ]; do
          set -- "$@" "--$kind=$answer"
          ask_root "$kind"
        done
      done
    fi
  fi
  [ -z "$token_file" ] || set -- "$@" "--token-from=$token_file"
  ! $service || set -- "$@" "--owner=${user:-root}"

  install_program
  configure write "--prefix=$prefix" "--hub=$hub" "$@" || exit $?
  configure switch "--prefix=$prefix" "--version=${target##*/}" || exit $?
  make_link
  say "flux-agent $VERSION is installed in $prefix"
  case $command in
    *[!A-Za-z0-9./_-]*) command="\"$command\"" ;;
  esac
  status=0
  check_with_doctor || status=$?
  if $service; then
    start_service
  elif $upgrade; then
    say "stop the agent if it runs and start it again: $command run"
  else
    say "start it with: $command run"
  fi
  return $status
}

cleanup() {
  [ -z "$echo_off" ] || stty "$echo_off" </dev/tty
  [ -z "$building" ] || rm -rf "$building"
  [ -z "$work" ] || rm -rf "$work"
}

absolute() {
  case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$PWD/$1" ;;
  esac
}

is_readable() { [ -r "$1" ] && [ ! -d "$1" ]; }

terminal() { (: </dev/tty) 2>/dev/null; }

choose_places() {
  link=''
  if [ -z "$prefix" ]; then
    if [ "$(id -u)" -eq 0 ]; then
      prefix=/opt/fileflux-agent
      link=/usr/local/bin/flux-agent
    else
      [ -n "${HOME:-}" ] || die 'HOME is not set: give --prefix DIR'
      prefix=${XDG_DATA_HOME:-$HOME/.local/share}/fileflux-agent
      link=$HOME/.local/bin/flux-agent
    fi
  fi
  # Of a directory only the one form without a slash behind it, since links and units are compared with it.
  prefix=${prefix%/}
  [ -n "$prefix" ] || die '--prefix / is not possible: give a directory of its own'
  command=$prefix/bin/flux-agent
  config=$prefix/config/flux-agent.yaml
  target=$prefix/versions/$VERSION-$(printf '%.12s' "$SHA256")
}

check_wishes() {
  case $hub in
    https://* | 'http://[::1]'* | http://localhost | http://localhost:* | http://127.*) ;;
    http://*)
      $insecure ||
        die "plain http to ${hub#http://} would show the token to the network: give --hub https://… if the hub has TLS, or add --insecure"
      ;;
    *) wrong "--hub $hub does not begin with http:// or https://" ;;
  esac
  # What is a service already stays one, of the same user: an upgrade says neither again.
  if [ "$(id -u)" -eq 0 ] && [ -d /run/systemd/system ] && [ -f "$UNIT" ] && unit_is_ours; then
    service=true
    [ -n "$user" ] || user=$(sed -n 's/^User=//p' "$UNIT")
  fi
  [ -z "$user" ] || $service || wrong '--user goes with --service'
  [ "$user" != root ] || user=''
  if $service; then
    [ "$(id -u)" -eq 0 ] || die '--service needs root: run this as root, or without --service'
    { command -v systemctl >/dev/null && [ -d /run/systemd/system ]; } ||
      die '--service needs a running systemd: leave it out and start the agent by what this machine has'
    case $prefix in
      *[!A-Za-z0-9/._-]*) die "--service needs a --prefix of letters, digits and ./_- only, not $prefix" ;;
    esac
    [ ! -f "$UNIT" ] || unit_is_ours || die "$UNIT is of another installation: remove that one first"
    if [ -n "$user" ]; then
      id -u -- "$user" >/dev/null 2>&1 || die "there is no user $user: make it first (useradd --system $user)"
    else
      say 'the service will run as root, inside the limits of its unit; --user NAME is better where NAME can reach the roots'
    fi
  fi
}

find_python() {
  for python in python3 python3.14 python3.13 python3.12 python3.11; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
      die "$python cannot make virtual environments: install python3-venv (apt-get install python3-venv) and run this again"
    return 0
  done
  die 'Python 3.11 or newer is needed: install it with venv (apt-get install python3 python3-venv) and run this again'
}

check_prefix() {
  mkdir -p "$prefix" 2>/dev/null || die "cannot make $prefix: run this as root, or give --prefix DIR"
  [ -w "$prefix" ] || die "cannot write in $prefix: run this as root, or give --prefix DIR"
  if [ ! -f "$prefix/.fileflux-agent" ]; then
    [ -z "$(ls -A "$prefix")" ] || die "$prefix holds other files: give --prefix a new or empty directory"
    : >"$prefix/.fileflux-agent"
  fi
}

ask_token() {
  terminal || die 'no token: give --token-file FILE; the hub shows a token with: fileflux tokens create'
  echo_off=$(stty -g </dev/tty)
  stty -echo </dev/tty
  printf 'Token of this agent (from "fileflux tokens create" at the hub; not shown): ' >/dev/tty
  IFS= read -r answer </dev/tty || answer=''
  stty "$echo_off" </dev/tty
  echo_off=''
  printf '\n' >/dev/tty
  [ -n "$answer" ] || die 'no token was given: run this again'
  token_file=$work/token
  (umask 077 && printf '%s\n' "$answer" >"$token_file")
}

ask_root() {
  while :; do
    printf 'A directory that jobs may %s (empty: no more): ' "$1" >/dev/tty
    IFS= read -r answer </dev/tty || answer=''
    [ -n "$answer" ] || return 0
    if [ -d "$answer" ]; then
      answer=$(absolute "$answer")
      return 0
    fi
    printf '%s is not a directory\n' "$answer" >/dev/tty
  done
}

install_program() {
  if [ -f "$target/.complete" ] && "$target/bin/flux-agent" version >/dev/null 2>&1; then
    return 0
  fi
  say "installing flux-agent $VERSION from $hub"
  fetch "$hub/install/$WHEEL" "$work/$WHEEL"
  "$python" -c 'import hashlib, sys
with open(sys.argv[1], "rb") as file:
    sys.exit(hashlib.sha256(file.read()).hexdigest() != sys.argv[2])' "$work/$WHEEL" "$SHA256" ||
    die "what $hub sent is not the wheel that this script was made for: fetch the script again and run it"
  rm -rf "$target"
  building=$target
  "$python" -m venv "$target" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    die "cannot make a virtual environment in $target: see above"
  }
  set -- --quiet --disable-pip-version-check --no-input
  [ -z "$wheelhouse" ] || set -- "$@" --no-index --find-links "$wheelhouse"
  "$target/bin/python" -m pip install "$@" "$work/$WHEEL" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    die 'pip cannot install the packages that the agent needs: see above; without an index give --wheelhouse DIR'
  }
  "$target/bin/flux-agent" version >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    die 'what was installed does not start: see above'
  }
  : >"$target/.complete"
  building=''
}

fetch() {
  hint='see above; is the address right, and is a --ca-file needed?'
  if command -v curl >/dev/null; then
    url=$1 file=$2
    set -- --fail --silent --show-error --globoff --proto '=http,https' --connect-timeout 20 --max-time 600 --max-filesize 67108864
    [ -z "$ca_file" ] || set -- "$@" --cacert "$ca_file"
    curl "$@" --output "$file" "$url" 2>"$work/log" || {
      head -n 1 "$work/log" >&2
      die "cannot download $url: $hint"
    }
  else
    "$python" -c 'import ssl, sys, urllib.request
url, path, ca_file = sys.argv[1:]
context = ssl.create_default_context(cafile=ca_file or None)
try:
    with urllib.request.urlopen(url, timeout=60, context=context) as answer, open(path, "wb") as file:
        file.write(answer.read(67108864))
except (OSError, ValueError) as error:
    sys.exit(str(error))' "$1" "$2" "$ca_file" || die "cannot download $1: $hint"
  fi
}

configure() { "$target/bin/python" -m fileflux.web.installers.configure "$@"; }

make_link() {
  [ -n "$link" ] || return 0
  if [ -L "$link" ] && [ "$(readlink "$link")" = "$command" ]; then
    :
  elif [ -e "$link" ] || [ -L "$link" ]; then
    say "$link is not of this installation and stays as it is"
    return 0
  elif ! { mkdir -p "${link%/*}" && ln -s "$command" "$link"; } 2>/dev/null; then
    say "cannot make the link $link"
    return 0
  fi
  if [ "$(command -v flux-agent)" = "$link" ]; then command=flux-agent; else command=$link; fi
}

check_with_doctor() {
  "$prefix/bin/flux-agent" doctor --help >/dev/null 2>&1 || return 0
  if [ -n "$user" ] && command -v runuser >/dev/null; then
    runuser -u "$user" -- "$prefix/bin/flux-agent" doctor
  else
    "$prefix/bin/flux-agent" doctor
  fi
}

unit_is_ours() { grep -qF -- "ExecStart=\"$prefix/current/" "$UNIT"; }

start_service() {
  configure unit "--prefix=$prefix" "--user=${user:-root}" >"$work/unit" || exit $?
  { cp "$work/unit" "$UNIT.new" && mv -f "$UNIT.new" "$UNIT"; } || die "cannot write $UNIT"
  { systemctl daemon-reload && systemctl enable --quiet "${UNIT##*/}" && systemctl restart "${UNIT##*/}"; } ||
    die "the service does not start: journalctl -u fileflux-agent says why"
  say 'the service fileflux-agent runs; its log: journalctl -u fileflux-agent'
}

remove_all() {
  [ -f "$prefix/.fileflux-agent" ] || die "there is no agent in $prefix: give the --prefix that it was installed with"
  if [ -f "$UNIT" ] && unit_is_ours; then
    systemctl disable --now --quiet "${UNIT##*/}" || die "cannot stop the service: stop it and run this again"
    rm -f "$UNIT"
    systemctl daemon-reload || :
  fi
  [ -z "$link" ] || [ "$(readlink "$link" || :)" != "$command" ] || rm -f "$link"
  rm -rf "${prefix:?}/versions" "${prefix:?}/current" "${prefix:?}/bin" || die "cannot remove $prefix: run this as the user who installed it"
  rm -f "$config" "$prefix/config/agent.token" "$prefix/config/ca.pem" "$prefix/.fileflux-agent"
  if [ -d "$prefix/config" ]; then rmdir "$prefix/config" || :; fi
  rmdir "$prefix" || say "$prefix holds files that are not of this installation; they stay"
  say "the agent in $prefix is removed; stop it if it still runs"
}

{ main "$@" </dev/null; }
