#!/usr/bin/env bash
# The whole loop on this machine, without containers: the gateway, a
# Sentry-compatible server (Bugsink), Prometheus, Alertmanager, Grafana where it
# is installed, and people who visit a shop. Ctrl-C ends all of it.
#
# `make demo` builds what this needs and runs it. Environment:
#   DEMO_DIR       where its state lies (webdemo/stack/.demo)
#   DEMO_TRAFFIC   0: nobody visits but you
#   DEMO_SECONDS   ends by itself after so long
set -euo pipefail
umask 077
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=${DEMO_DIR:-$here/.demo}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd)
bin=$root/bin/breakwater
[ -x "$bin" ] || { echo "demo: $bin is missing: make build" >&2; exit 1; }
bold=$(tput bold 2>/dev/null || true) plain=$(tput sgr0 2>/dev/null || true)

pids=()
finish() {
  trap - EXIT INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  echo "demo: all of it has ended; its state is in $dir"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# taken PORT: somebody listens there.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# port WANTED: that one, or the next free one.
port() { local p=$1; while taken "$p"; do p=$((p + 1)); done; echo "$p"; }
# run NAME COMMAND...: in the background, its output in a log.
run() { local name=$1; shift; "$@" >"$dir/$name.log" 2>&1 & pids+=($!); }
# await NAME URL: until it answers; the process died otherwise.
await() {
  local name=$1 url=$2 pid=${pids[-1]}
  for _ in $(seq 600); do
    if curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; then return; fi
    kill -0 "$pid" 2>/dev/null || { echo "demo: $name ended; its last lines:" >&2; tail -n 20 "$dir/$name.log" >&2; exit 1; }
    sleep 0.2
  done
  echo "demo: $name does not answer at $url" >&2; exit 1
}

public=$(port 8080) private=$(port 8081) bugsink=$(port 8000) prometheus=$(port 9090) alertmanager=$(port 9093) grafana=$(port 3000)
base=http://127.0.0.1

# The Sentry-compatible server. Without it reports are held, and can be seen in the console.
dsn='' console_note=''
echo "demo: preparing Bugsink (the first time takes a minute) …"
if "$here/bugsink.sh" install "$dir/bugsink" && "$here/bugsink.sh" setup "$dir/bugsink" "$bugsink"; then
  dsn=$(sed -n 's/^DSN=//p' "$dir/bugsink/env")
  run bugsink "$here/bugsink.sh" serve "$dir/bugsink" "$bugsink"
  await bugsink "$base:$bugsink/health/ready" 2>/dev/null || await bugsink "$base:$bugsink/accounts/login/"
else
  console_note=' (no Bugsink here: reports are held)'
fi

# The gateway: people's browsers on this machine, vitals soon, storms visible.
key=d3a0b1c2d3e4f5061728394a5b6c7d8e
cat > "$dir/breakwater.yml" <<YAML
server: {listen: "127.0.0.1:$public", admin_listen: "127.0.0.1:$private", trusted_proxies: ["127.0.0.0/8"]}
vitals: {settle: 5s, settle_max: 1m, count_bots: true}
projects:
  - id: 1
    name: shop
    keys: [{public: $key, name: web}]
    upstreams: [{name: sentry, type: sentry, dsn: "$dsn"}]
    storm: {first: 10, then_one_in: 20}
    vitals: {routes: ["/product/:id"]}
YAML
run gateway env BREAKWATER_DATA_DIR="$dir/data" "$bin" --config "$dir/breakwater.yml"
await gateway "$base:$private/-/ready"

# Prometheus and Alertmanager with the gateway's own rules, both from Debian's packages.
"$bin" dashboards export "$dir/monitoring" --force --target "127.0.0.1:$private" --console-url "$base:$private" \
  --grafana-url "$base:$grafana" --prometheus-url "$base:$prometheus" --alertmanager "127.0.0.1:$alertmanager" \
  --grafana-folder "$dir/monitoring/grafana/dashboards" >/dev/null
sed -i 's/_interval: 15s/_interval: 3s/' "$dir/monitoring/prometheus/prometheus.yml"
printf 'route: {receiver: on-call, group_wait: 5s, group_by: [alertname, project]}\nreceivers: [{name: on-call}]\n' > "$dir/monitoring/alertmanager-demo.yml"
have() { command -v "$1" >/dev/null; }
for am in prometheus-alertmanager alertmanager; do
  if have "$am"; then
    run alertmanager "$am" --config.file="$dir/monitoring/alertmanager-demo.yml" --storage.path="$dir/alertmanager" \
      --web.listen-address="127.0.0.1:$alertmanager" --cluster.listen-address=
    await alertmanager "$base:$alertmanager/-/ready"
    break
  fi
done
have prometheus || { echo "demo: prometheus is missing: make deps" >&2; exit 1; }
run prometheus prometheus --config.file="$dir/monitoring/prometheus/prometheus.yml" --storage.tsdb.path="$dir/prometheus" \
  --web.listen-address="127.0.0.1:$prometheus" --log.level=warn
await prometheus "$base:$prometheus/-/ready"

# Grafana, where it is installed.
for home in "${GRAFANA_HOME:-/usr/share/grafana}"; do
  if have grafana && [ -d "$home" ]; then
    run grafana env GF_SERVER_HTTP_ADDR=127.0.0.1 GF_SERVER_HTTP_PORT="$grafana" GF_PATHS_DATA="$dir/grafana" GF_PATHS_LOGS="$dir/grafana" \
      GF_PATHS_PROVISIONING="$dir/monitoring/grafana/provisioning" GF_AUTH_ANONYMOUS_ENABLED=true GF_AUTH_ANONYMOUS_ORG_ROLE=Viewer \
      GF_ANALYTICS_REPORTING_ENABLED=false GF_ANALYTICS_CHECK_FOR_UPDATES=false grafana server --homepath "$home"
    await grafana "$base:$grafana/api/health"
    grafana_line="$base:$grafana"
  fi
done

# People.
if [ "${DEMO_TRAFFIC:-1}" != 0 ]; then
  run visitors "$bin" simulate --config "$dir/breakwater.yml" --scenario release-gone-bad --rate 8 --duration 24h --addresses 500 --json
fi

line() { printf '  %-14s %s\n' "$1" "$2"; }
echo
echo "${bold}Breakwater's demo runs.${plain}"
[ -d "$root/webdemo/web/dist" ] && line "demo page" "$base:$private/demo/"
line "console" "$base:$private/$console_note"
[ -n "$dsn" ] && line "Bugsink" "$base:$bugsink/ (demo@example.org, password demo)"
line "Prometheus" "$base:$prometheus/graph?g0.expr=sum%20by%20(vital%2C%20rating)%20(web_vitals_ratings_total)&g0.tab=1"
have prometheus-alertmanager || have alertmanager && line "Alertmanager" "$base:$alertmanager/"
line "Grafana" "${grafana_line:-not installed here; import $dir/monitoring/grafana/dashboards/*.json into yours}"
line "DSN" "http://$key@127.0.0.1:$public/1"
line "logs" "$dir/*.log"
echo
echo "Ctrl-C ends all of it."
printf 'PUBLIC=%s\nPRIVATE=%s\nBUGSINK=%s\nPROMETHEUS=%s\nALERTMANAGER=%s\nKEY=%s\n' "$public" "$private" "${dsn:+$bugsink}" "$prometheus" "$alertmanager" "$key" > "$dir/addresses"

# Until somebody ends it, or a part of it ends by itself.
deadline=${DEMO_SECONDS:-0}
while :; do
  sleep 1
  [ "$deadline" = 0 ] || { deadline=$((deadline - 1)); [ "$deadline" != 0 ] || exit 0; }
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { echo "demo: a part ended; see $dir/*.log" >&2; exit 1; }
  done
done
