# What a kube-proxy says and asks, as far as vipbench notices: lists and watches Services, logs its
# syncs in kube-proxy's words, programs one nftables table. How it misbehaves is in $behaviour,
# which the test writes above this line.
case "$1" in
--version) echo "Kubernetes v9.9.9"; exit ;;
--cleanup)
  [ "$behaviour" != dirty ] || { echo "E0101 cleanup] \"cannot clean up\"" >&2; exit 1; }
  nft delete table ip stand-in 2>/dev/null
  exit 0
  ;;
esac
[ "$1" = --config ] && grep -q '"mode":"nftables"' "$2" || exit 3

say() { echo "I0101 00:00:00.000000 1 proxier.go:1] $1" >&2; }
sync() {
  nft add table ip stand-in
  say '"Syncing nftables rules" ipFamily="IPv4" fullSync=false'
  say '"SyncProxyRules complete" ipFamily="IPv4" elapsed="1ms"'
}
ask() {
  exec 3<>/dev/tcp/127.0.0.1/6443 || exit 4
  printf 'GET %s HTTP/1.1\r\nHost: vipbench\r\nConnection: %s\r\n\r\n' "$1" "$2" >&3
}
# Group 1 of a pattern in a line.
part() { [[ $2 =~ $1 ]] && echo "${BASH_REMATCH[1]}"; }

case "$behaviour" in
dies)
  echo "E0101 00:00:00.000000 1 server.go:1] \"Error running ProxyServer\" err=\"no such mode here\"" >&2
  exit 1
  ;;
silent) exec sleep 600 ;;
fails) say '"Sync failed" ipFamily="IPv4" retryingTime="30s"'; exec sleep 600 ;;
esac

ask "/api/v1/services?limit=1" close
listed=$(timeout 20 cat <&3)
[[ $listed == *" 200 "* ]] || exit 5
version=$(part '"resourceVersion":"([0-9]+)"' "$listed")
say '"kube-proxy running in single-stack mode" ipFamily="IPv4"'
sync
[ "$behaviour" != dies-later ] || exit 7

ask "/api/v1/services?watch=1&resourceVersion=$version" keep-alive
while read -r line <&3; do
  [[ $line == *'"kind":"Service"'* ]] || continue
  name="$(part '"namespace":"([^"]*)"' "$line")/$(part '"name":"([^"]*)","namespace"' "$line")"
  port="$name:$(part '"ports":\[\{"name":"([^"]*)"' "$line")"
  case "$line" in
  '{"type":"DELETED"'*) say "\"Removing service port\" portName=\"$port\"" ;;
  *)
    say "\"Adding new service port\" portName=\"$port\" servicePort=\"10.0.0.1:80/TCP\""
    say "\"Setting endpoints for service port name\" portName=\"$port\" endpoints=[\"10.0.0.2:80\"]"
    ;;
  esac
  sync
done
