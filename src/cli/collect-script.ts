/**
 * The script that `collect` prints: plain POSIX sh with what every distribution has, to be run as root on a node (or in a
 * network namespace). It writes a bundle: a folder that `replay` and `trace` take as it stands.
 */
export interface CollectOptions {
  /** Also records a capture: `tcpdump -i any` into the bundle's `any.pcap`, until interrupted or for `seconds`. */
  readonly capture?: boolean;
  /** How long to capture; until Ctrl-C where absent. Whole seconds. */
  readonly seconds?: number;
  /** Interface to capture on instead of `any`. */
  readonly interface?: string;
}

/** Files of a bundle that the script writes, where the node has the command for it. */
export const BUNDLE_FILES = [
  'iptables-save',
  'ip6tables-save',
  'ipset-save',
  'addr.json',
  'route.json',
  'route6.json',
  'rule.json',
  'rule6.json',
  'neigh.json',
  'sysctl',
  'conntrack',
  'time',
] as const;

/** Text of the script. Its one argument is the folder to write (default: `bundle-HOST`). */
export function collectScript(options: CollectOptions = {}): string {
  const capture = options.capture === true ? captureLines(options) : '';
  return `#!/bin/sh
# Collects what chainwalk needs to know about this host's packet filter into a folder (a "bundle"). It only reads.
# Usage, as root: sh collect.sh [FOLDER]
set -u
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
out=\${1:-bundle-$(uname -n)}
mkdir -p "$out" || exit 1

note() { echo "collect: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# keep FILE COMMAND...: the command's output becomes the file; a command that is missing or fails leaves none.
keep() {
  file=$1
  shift
  have "$1" || { note "$1 is not installed: no $file"; return 1; }
  if "$@" >"$out/$file.part" 2>"$out/error.part"; then
    mv "$out/$file.part" "$out/$file"
  else
    note "$* failed: no $file: $(head -n 1 "$out/error.part")"
    rm -f "$out/$file.part"
  fi
  rm -f "$out/error.part"
}

holds_rules() { grep -q -e '-A ' -e '^:.* DROP' -e '^:.* - ' "$1" 2>/dev/null; }

# A host may have rules in both back ends of iptables, and the kernel then runs both. The bundle takes the legacy ones first.
save_rules() {
  name=$1
  for backend in legacy nft; do
    rules=$out/$name-$backend-save
    have "$name-$backend-save" && "$name-$backend-save" -c >"$rules" 2>/dev/null
    holds_rules "$rules" || rm -f "$rules"
  done
  if [ -f "$out/$name-legacy-save" ]; then
    mv "$out/$name-legacy-save" "$out/$name-save"
    [ -f "$out/$name-nft-save" ] && note "$name has rules in both back ends; those of nft are in $name-nft-save"
  elif [ -f "$out/$name-nft-save" ]; then
    mv "$out/$name-nft-save" "$out/$name-save"
  else
    keep "$name-save" "$name-save" -c
  fi
}

# Keys that say how packets are treated; of neighbours only how they are asked for; no secrets.
network_sysctls() {
  { sysctl -a 2>/dev/null || true; } | grep '^net\\.\\(ipv4\\|ipv6\\|netfilter\\|bridge\\)\\.' |
    grep -v '\\.neigh\\..*\\.\\(anycast\\|base\\|delay\\|gc_\\|interval\\|locktime\\|mcast_re\\|proxy\\|ucast\\|unres_qlen \\)\\|secret\\|tcp_fastopen_key\\|_mem = \\|^net\\.ipv4\\.tcp_available\\|^net\\.ipv4\\.tcp_allowed'
}

save_rules iptables
save_rules ip6tables
have ipset && keep ipset-save ipset save
keep addr.json ip -j addr
keep route.json ip -j route show table all
keep route6.json ip -j -6 route show table all
keep rule.json ip -j rule
keep rule6.json ip -j -6 rule
keep neigh.json ip -j neigh
have sysctl && keep sysctl network_sysctls
# Connections, with the time of the list: time-outs in it count from there.
if have conntrack; then
  {
    conntrack -L -f ipv4 -o extended 2>/dev/null
    conntrack -L -f ipv6 -o extended 2>/dev/null
  } >"$out/conntrack"
elif [ -r /proc/net/nf_conntrack ]; then
  cat /proc/net/nf_conntrack >"$out/conntrack"
else
  note "neither conntrack nor /proc/net/nf_conntrack: connections that exist already will look new"
fi
case $(date +%N 2>/dev/null) in
  *[!0-9]* | '') date +%s >"$out/time" ;;
  *) date +%s.%N >"$out/time" ;;
esac
${capture}note "wrote $out"
`;
}

function captureLines(options: CollectOptions): string {
  const name = options.interface ?? 'any';
  if (!/^[A-Za-z0-9_.@:-]{1,32}$/.test(name)) throw new Error(`bug: not an interface name: ${JSON.stringify(name)}`);
  const seconds = options.seconds;
  const limit = seconds === undefined ? '' : `timeout ${Math.max(1, Math.floor(seconds))} `;
  return `# The state above is that of the capture's start.
if have tcpdump; then
  note "capturing on ${name}${seconds === undefined ? ', until Ctrl-C' : ` for ${seconds} seconds`}"
  trap : INT
  ${limit}tcpdump -i ${name} -n -s 0 -U -w "$out/${name}.pcap"
  trap - INT
else
  note "tcpdump is not installed: no capture"
fi
`;
}
