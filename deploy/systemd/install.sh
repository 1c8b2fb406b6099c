#!/bin/sh
# Installs Warmpath as a systemd service, or brings an installed one up to date. Run it again at any time.
set -eu

NAME=warmpath
# warmpath: the control plane with its Envoy; warmpath-agent: what runs beside an Ollama.
UNIT=warmpath
ROOT=
SOURCE=
NODES=
DRY_RUN=false
START=true
ACTION=install
PURGE=false
STAGE=
FETCHED=
TO=
AGENT_NODE=
AGENT_URL=
OWNER_HOURS=
TOKEN_FILE=

usage() {
  cat <<'USAGE'
Installs Warmpath as a systemd service that runs as its own user.

  from a checkout:  sudo sh deploy/systemd/install.sh --node http://gpu1:11434
  from anywhere:    curl -fsSL URL/install.sh | sudo sh -s -- --source URL/warmpath.tar.gz --node http://gpu1:11434

  beside an Ollama: sudo sh deploy/systemd/install.sh agent --to http://gateway:9412 --join-token-file token

  --node [NAME=]URL   an Ollama node, repeatable; replaces the nodes named this way before
  --source DIR|URL    the sources: a directory, or a .tar.gz to download; default: the checkout of this script
  --no-start          install, but neither enable nor start the service
  --uninstall         remove the service and the program; configuration and state stay
  --purge             with --uninstall: remove these and the user as well
  --root DIR          install under DIR, with no user and no systemctl: for images and packages
  --dry-run           say what would be done, and do nothing

  agent: installs warmpath-agent instead, which reports to control planes elsewhere
  --to URL                where control planes take reports (agents.listen), repeatable
  --join-token-file FILE  the join token of that fleet
  --node NAME             name of this node; default: its host name
  --url URL               how the control plane reaches the Ollama here; default: found by the agent
  --owner-hours LIST      hours in which the machine belongs to its owner, "Mon-Fri 18:00-23:00, Sat 10:00-24:00"
USAGE
}

say() { printf '%s: %s\n' "$NAME" "$*"; }
fail() {
  printf '%s: %s\n' "$NAME" "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

# Runs a command, or only shows it.
run() {
  if $DRY_RUN; then printf '+ %s\n' "$*"; else "$@"; fi
}

clean_up() {
  [ -z "$STAGE" ] || rm -rf "$STAGE"
  [ -z "$FETCHED" ] || rm -rf "$FETCHED"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

is_live() { [ -z "$ROOT" ]; }
has() { command -v "$1" >/dev/null 2>&1; }

parse() {
  if [ "${1-}" = agent ]; then
    UNIT=warmpath-agent
    shift
  fi
  while [ $# -gt 0 ]; do
    case $1 in
      --to | --join-token-file | --url | --owner-hours)
        [ "$UNIT" = warmpath-agent ] || fail "$1 is for the agent" "See: sh install.sh --help"
        ;;
    esac
    case $1 in
      --node | --source | --root | --to | --join-token-file | --url | --owner-hours)
        [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value" "See: sh install.sh --help"
        case $1 in
          --node) add_node "$2" ;;
          --to) plain "$1" "$2"; TO=${TO:+$TO,}$2 ;;
          --join-token-file) TOKEN_FILE=$2 ;;
          --url) plain "$1" "$2"; AGENT_URL=$2 ;;
          --owner-hours) plain "$1" "$2"; OWNER_HOURS=$2 ;;
          --source) SOURCE=$2 ;;
          --root) ROOT=${2%/} ;;
        esac
        shift
        ;;
      --no-start) START=false ;;
      --uninstall) ACTION=uninstall ;;
      --purge) PURGE=true ;;
      --dry-run) DRY_RUN=true ;;
      -h | --help) usage; exit 0 ;;
      *) fail "unknown argument: $1" "See: sh install.sh --help" ;;
    esac
    shift
  done
  case $ROOT in
    '' | /*) ;;
    *) ROOT=$(pwd)/$ROOT ;;
  esac
}

# A value that a systemd environment file takes as it is.
plain() {
  case $2 in
    *[\"\'\\\$\`\#]*) fail "$1 must not contain quotes, \$, # or backslashes" ;;
  esac
  [ "$(printf '%s' "$2" | wc -l)" -eq 0 ] || fail "$1 must be one line"
}

add_node() {
  if [ "$UNIT" = warmpath-agent ]; then
    case $1 in
      *[!A-Za-z0-9._-]*) fail "not a name: $1" 'Letters, digits, dots, dashes and underscores make the name of a node.' ;;
    esac
    AGENT_NODE=$1
    return 0
  fi
  case $1 in
    *[[:space:],\"\'\\\$]*) fail "not a node: $1" "Give --node [NAME=]URL, once for each node." ;;
    http://?* | https://?* | [A-Za-z0-9]*=http://?* | [A-Za-z0-9]*=https://?*) ;;
    *) fail "not a node: $1" "Give --node [NAME=]URL with http:// or https://, e.g. --node gpu1=http://10.0.0.11:11434" ;;
  esac
  NODES=${NODES:+$NODES,}$1
}

require_root() {
  is_live && ! $DRY_RUN || return 0
  [ "$(id -u)" -eq 0 ] || fail 'root is needed to install a service' "Run: sudo sh $0 $*"
  has systemctl || fail 'systemctl is not here: this machine does not run systemd' 'Elsewhere, start it by hand: npm run up -- --node URL'
}

require_tools() {
  for tool in tar npm node; do
    has "$tool" || fail "$tool is needed" 'Install it with the package manager; node must be 18 or newer (Node 24 is brought by npm).'
  done
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 18 ] || fail "node 18 or newer is needed, this is $(node --version)"
}

# Leaves the directory with the sources in SOURCE.
find_source() {
  if [ -z "$SOURCE" ]; then
    case $0 in
      */*) here=$(cd "$(dirname "$0")" && pwd) ;;
      *) here=$(pwd) ;;
    esac
    for candidate in "$here/../.." "$here"; do
      if [ -f "$candidate/bin/warmpath.js" ]; then SOURCE=$(cd "$candidate" && pwd); break; fi
    done
    [ -n "$SOURCE" ] || fail 'the sources are not beside this script' 'Name them: --source DIR or --source URL of a .tar.gz'
  fi
  case $SOURCE in
    http://* | https://*) fetch_source ;;
  esac
  [ -f "$SOURCE/bin/warmpath.js" ] || fail "no Warmpath in $SOURCE" 'bin/warmpath.js is missing there.'
}

fetch_source() {
  url=$SOURCE
  if $DRY_RUN; then
    say "would download $url"
    exit 0
  fi
  FETCHED=$(mktemp -d)
  say "downloading $url"
  if has curl; then
    curl -fsSL --retry 3 -o "$FETCHED/source.tar.gz" "$url" || fail "could not download $url"
  elif has wget; then
    wget -q -O "$FETCHED/source.tar.gz" "$url" || fail "could not download $url"
  else
    fail 'curl or wget is needed to download the sources'
  fi
  mkdir "$FETCHED/source"
  tar -xzf "$FETCHED/source.tar.gz" -C "$FETCHED/source" || fail "$url is no .tar.gz"
  SOURCE=$FETCHED/source
  # Archives made by forges hold one directory.
  for inner in "$FETCHED"/source/*/bin/warmpath.js; do
    [ ! -f "$inner" ] || SOURCE=$(cd "$(dirname "$inner")/.." && pwd)
  done
}

create_user() {
  is_live || return 0
  # The agent's user comes and goes with it.
  [ "$UNIT" = warmpath ] || return 0
  getent passwd "$NAME" >/dev/null && return 0
  say "creating the user $NAME"
  shell=/usr/sbin/nologin
  [ -x "$shell" ] || shell=/sbin/nologin
  run useradd --system --user-group --home-dir "/var/lib/$NAME" --no-create-home --shell "$shell" "$NAME"
}

# Builds the new version beside the old one and swaps them: a failure leaves the old one as it was.
copy_program() {
  target=$ROOT/opt/$NAME
  say "installing to $target"
  if $DRY_RUN; then
    run npm ci --omit=dev --ignore-scripts
    return 0
  fi
  mkdir -p "$ROOT/opt"
  STAGE=$(mktemp -d "$ROOT/opt/.$NAME.XXXXXX")
  files=
  for path in package.json package-lock.json .npmrc LICENSE README.md bin src dist envoy proto; do
    [ ! -e "$SOURCE/$path" ] || files="$files $path"
  done
  # The names are those of the list above: they hold no blanks.
  # shellcheck disable=SC2086
  (cd "$SOURCE" && tar -cf - $files) | tar -xf - -C "$STAGE" --no-same-owner
  (cd "$STAGE" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error) ||
    fail 'the dependencies could not be installed' 'Check that npm reaches its registry, and run this again.'
  link_node
  chmod 755 "$STAGE"
  chmod -R go-w,a+rX "$STAGE"
  rm -rf "$target.old"
  [ ! -e "$target" ] || mv "$target" "$target.old"
  mv "$STAGE" "$target"
  STAGE=
  rm -rf "$target.old"
}

# The unit runs /opt/warmpath/node: the Node 24 that npm brought, else the machine's.
link_node() {
  for brought in "$STAGE"/node_modules/node-linux-*/bin/node; do
    if [ -x "$brought" ] && "$brought" --version >/dev/null 2>&1; then
      ln -s "${brought#"$STAGE"/}" "$STAGE/node"
      return 0
    fi
  done
  machine=$(node -p process.execPath)
  [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 24 ] ||
    fail 'Node 24 is needed and npm has none for this machine' 'Install Node 24 or newer, and run this again.'
  ln -s "$machine" "$STAGE/node"
}

# put FILE TARGET MODE: never over what the operator may have changed.
put_once() {
  if [ -e "$2" ]; then say "keeping $2"; return 0; fi
  run mkdir -p "$(dirname "$2")"
  run cp "$1" "$2"
  run chmod "$3" "$2"
  if is_live && [ "$UNIT" = warmpath ]; then run chgrp "$NAME" "$2"; fi
}

# set_env FILE VARIABLE VALUE, where there is a value.
set_env() {
  [ -n "$3" ] || return 0
  others=$(sed "/^$2=/d" "$1")
  printf '%s\n%s=%s\n' "$others" "$2" "$3" >"$1"
}

write_agent_config() {
  agent_env=$ROOT/etc/$NAME/agent.env
  put_once "$SOURCE/deploy/systemd/agent.env" "$agent_env" 600
  token=
  if [ -n "$TOKEN_FILE" ]; then
    [ -r "$TOKEN_FILE" ] || fail "cannot read $TOKEN_FILE"
    token=$(cat "$TOKEN_FILE")
    plain --join-token-file "$token"
  fi
  [ -z "$TO" ] || say "reports to: $TO"
  $DRY_RUN && return 0
  set_env "$agent_env" WARMPATH_AGENT_TO "$TO"
  set_env "$agent_env" WARMPATH_JOIN_TOKEN "$token"
  set_env "$agent_env" WARMPATH_AGENT_NODE "$AGENT_NODE"
  set_env "$agent_env" WARMPATH_AGENT_URL "$AGENT_URL"
  set_env "$agent_env" WARMPATH_AGENT_OWNER_HOURS "$OWNER_HOURS"
}

write_config() {
  if [ "$UNIT" = warmpath-agent ]; then
    write_agent_config
    return 0
  fi
  templates=$SOURCE/deploy/systemd
  put_once "$templates/warmpath.yaml" "$ROOT/etc/$NAME/warmpath.yaml" 640
  put_once "$templates/warmpath.env" "$ROOT/etc/$NAME/warmpath.env" 640
  [ -n "$NODES" ] || return 0
  say "nodes: $NODES"
  $DRY_RUN && return 0
  env_file=$ROOT/etc/$NAME/warmpath.env
  others=$(sed '/^WARMPATH_NODES=/d' "$env_file")
  printf '%s\nWARMPATH_NODES=%s\n' "$others" "$NODES" >"$env_file"
}

write_unit() {
  unit=$ROOT/etc/systemd/system/$UNIT.service
  run mkdir -p "$(dirname "$unit")" "$ROOT/usr/local/bin"
  run cp "$SOURCE/deploy/systemd/$UNIT.service" "$unit"
  run chmod 644 "$unit"
  $DRY_RUN && return 0
  command=$ROOT/usr/local/bin/$NAME
  printf '#!/bin/sh\nexec /opt/%s/node /opt/%s/bin/warmpath.js "$@"\n' "$NAME" "$NAME" >"$command"
  chmod 755 "$command"
}

check_config() {
  is_live && ! $DRY_RUN || return 0
  [ "$UNIT" = warmpath ] || return 0
  "/opt/$NAME/node" "/opt/$NAME/bin/warmpath.js" check --config "/etc/$NAME/warmpath.yaml" >/dev/null ||
    fail "/etc/$NAME/warmpath.yaml is not valid (above)" "Correct it, then: systemctl restart $NAME"
}

start_service() {
  is_live || return 0
  run systemctl daemon-reload
  if [ "$UNIT" = warmpath-agent ] && ! $DRY_RUN && ! grep -q '^WARMPATH_AGENT_TO=.' "/etc/$NAME/agent.env"; then
    START=false
    say "name the control plane: WARMPATH_AGENT_TO in /etc/$NAME/agent.env"
  fi
  if ! $START; then
    say "installed; start it with: systemctl enable --now $UNIT"
    return 0
  fi
  run systemctl enable --now "$UNIT.service"
  # An older version may be running.
  run systemctl restart "$UNIT.service"
  say 'started. See how it does:'
  if [ "$UNIT" = warmpath-agent ]; then
    printf '  %s agent --once\n  journalctl -u %s -f\n' "$NAME" "$UNIT"
    return 0
  fi
  printf '  %s status\n  journalctl -u %s -f\n' "$NAME" "$UNIT"
  [ -n "$NODES" ] || printf '  No node is named yet? Edit /etc/%s/warmpath.yaml, then: systemctl reload %s\n' "$NAME" "$NAME"
}

uninstall() {
  if is_live; then run systemctl disable --now "$UNIT.service" || true; fi
  run rm -f "$ROOT/etc/systemd/system/$UNIT.service"
  # The other service may run from the same program.
  other=warmpath-agent
  [ "$UNIT" = warmpath ] || other=warmpath
  if [ -e "$ROOT/etc/systemd/system/$other.service" ]; then
    say "$other is installed: the program stays"
  else
    run rm -f "$ROOT/usr/local/bin/$NAME"
    run rm -rf "$ROOT/opt/$NAME"
  fi
  if is_live; then run systemctl daemon-reload; fi
  if [ "$UNIT" = warmpath-agent ]; then
    uninstall_agent_state
    return 0
  fi
  if ! $PURGE; then
    say "removed; /etc/$NAME and /var/lib/$NAME stay (--purge removes them)"
    return 0
  fi
  if [ -e "$ROOT/etc/systemd/system/$other.service" ]; then
    run rm -f "$ROOT/etc/$NAME/warmpath.yaml" "$ROOT/etc/$NAME/warmpath.env"
  else
    run rm -rf "$ROOT/etc/$NAME"
  fi
  run rm -rf "$ROOT/var/lib/$NAME"
  if is_live && getent passwd "$NAME" >/dev/null; then run userdel "$NAME"; fi
  say 'removed with configuration, state and user'
}

uninstall_agent_state() {
  if ! $PURGE; then
    say "removed; /etc/$NAME/agent.env and /var/lib/$UNIT stay (--purge removes them)"
    return 0
  fi
  run rm -f "$ROOT/etc/$NAME/agent.env"
  # systemd keeps the state of a dynamic user below private/ and links to it.
  run rm -rf "$ROOT/var/lib/$UNIT" "$ROOT/var/lib/private/$UNIT"
  say "removed with configuration and key; forget the node at the control plane: $NAME nodes remove NAME"
}

main() {
  parse "$@"
  require_root "$@"
  if [ "$ACTION" = uninstall ]; then
    uninstall
    return 0
  fi
  require_tools
  find_source
  create_user
  copy_program
  write_config
  write_unit
  check_config
  start_service
}

main "$@"
