#!/bin/bash
# Runs Envoy with the arguments given. At SIGTERM its clients are let go, and it is ended when their requests are, after
# WARMPATH_DRAIN_SECONDS (30) at the latest. Needs nothing but bash: Envoy's admin interface is put on a port of this
# container's loopback (WARMPATH_ENVOY_ADMIN_PORT, 9901), whatever the bootstrap says.
set -u
drain_seconds=${WARMPATH_DRAIN_SECONDS:-30}
port=${WARMPATH_ENVOY_ADMIN_PORT:-9901}

# METHOD PATH
admin() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf '%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
    timeout 2 cat <&3
  ) 2>/dev/null
}

active_requests() {
  admin GET '/stats?filter=^http.clients.downstream_rq_active$' | tr -d '\r' | sed -n 's/^http\.clients\..*: //p'
}

stop() {
  trap '' TERM INT
  echo "draining: $(active_requests) requests run" >&2
  admin POST '/drain_listeners?graceful' >/dev/null
  deadline=$((SECONDS + drain_seconds))
  while [ "$SECONDS" -lt "$deadline" ]; do
    active=$(active_requests)
    # Where Envoy does not say, there is nothing to wait for.
    if [ -z "$active" ] || [ "$active" = 0 ]; then break; fi
    sleep 0.2
  done
  kill -TERM "$envoy"
}

envoy \
  --config-yaml "admin: {address: {socket_address: {address: 127.0.0.1, port_value: $port}}}" \
  --drain-time-s "$((drain_seconds > 0 ? drain_seconds : 1))" --drain-strategy immediate --disable-hot-restart \
  --log-level warning --component-log-level ext_proc:error "$@" &
envoy=$!
trap stop TERM INT
# The first wait ends with the signal, the last one with Envoy.
wait "$envoy"
status=$?
while kill -0 "$envoy" 2>/dev/null; do
  wait "$envoy"
  status=$?
done
exit "$status"
