#!/usr/bin/env python3
"""Wire agent of the kernel suite: Linux as the host under test, driven by JSON lines on stdin and stdout.

One agent owns pairs of anonymous network namespaces: H, the host under test, and P, where the other end of every link
is. It loads rules with the iptables tools, injects frames on P's ends (or local packets through a raw socket of H),
and collects every frame that H emits. Everything vanishes with the process.
"""
import base64, ctypes, fcntl, json, os, select, socket, struct, subprocess, sys, tempfile, threading, time

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL = 0x8913, 0x8914, 0x8946
IFF_UP = 1
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO: with these off every checksum on the wire is real.
OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_RCVBUFFORCE = 33
SO_MARK = 36
ETH_P_ALL, ETH_P_SENTINEL = 3, 0x88B5
NETLINK_NETFILTER = 12
CT_DELETE = (1 << 8) | 2
ACCT_NEW, ACCT_GET_ZERO = 7 << 8, (7 << 8) | 2
ACCT_NAME, ACCT_FLAGS, ACCT_QUOTA = 1, 5, 6
ACCT_MODES = {"packet": 1, "byte": 2}
# Lets namespaces other than the first write LOG lines; held while a case logs, for there is one log on the machine.
LOG_SWITCH = "/proc/sys/net/netfilter/nf_log_all_netns"
LOG_LOCK = os.path.join(tempfile.gettempdir(), "chainwalk-kernel.log-lock")
# How often the sentinel goes round when softirqs run behind: a frame may pass the backlog for eth, lo, veth.
ROUNDS = 8

libc = ctypes.CDLL(None, use_errno=True)


def unshare_net():
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def set_net(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def link_up(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", name.encode(), 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), flags | IFF_UP))


def offloads_off(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sQ8x", name.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(s, SIOCETHTOOL, request)
            except OSError:
                pass


def write_sysctls(pairs):
    for key, value in pairs:
        try:
            with open("/proc/sys/" + key, "w") as f:
                f.write(str(value))
        except OSError as e:
            print("sysctl %s: %s" % (key, e), file=sys.stderr)


def mac_bytes(text):
    return bytes(int(x, 16) for x in text.split(":"))


class Host:
    """One H with its P."""

    def __init__(self, config):
        links = config["links"]
        self.p = unshare_net()
        write_sysctls(config["peerSysctls"])
        self.h = unshare_net()
        write_sysctls(config["sysctls"])
        batch = []
        for link in links:
            batch.append(
                "link add %s mtu %d address %s type veth peer name %s mtu %d address %s netns /proc/%d/fd/%d"
                % (link["name"], link["mtu"], link["mac"], link["peer"], link["mtu"], link["peerMac"], os.getpid(), self.p)
            )
            batch.append("link set %s addrgenmode none" % link["name"])
        run = subprocess.run(
            ["ip", "-batch", "-"], input=("\n".join(batch + config["batch"]) + "\n").encode(), capture_output=True
        )
        if run.returncode != 0:
            raise RuntimeError("ip -batch: " + run.stderr.decode())
        for link in links:
            offloads_off(link["name"])
        write_sysctls(config["lateSysctls"])
        self.raw = {
            4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }
        # Protocol 0 first: binding a socket that already receives waits for a grace period.
        self.raw[4].setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.sentinel_in = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sentinel_in.bind((links[0]["name"], ETH_P_SENTINEL))
        self.sentinel_in.setblocking(False)
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.netlink.settimeout(5)
        for account in config["accounts"]:
            self.make_account(account)
        set_net(self.p)
        for link in links:
            offloads_off(link["peer"])
        self.wires = []
        for link in links:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            wire.bind((link["peer"], 0))
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            self.wires.append(wire)
            link_up(link["peer"])
        self.capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.capture.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.capture.setblocking(False)
        self.number = {link["peer"]: i for i, link in enumerate(links)}
        self.sentinel = mac_bytes(links[0]["mac"]) + mac_bytes(links[0]["peerMac"]) + b"\x88\xb5" + bytes(46)
        set_net(self.h)
        self.born = time.monotonic()
        # Longest time between a moment that was written down and what happened then, in seconds.
        self.stall = 0.0

    def close(self):
        for s in [self.capture, self.sentinel_in, self.netlink, *self.raw.values(), *self.wires]:
            s.close()
        os.close(self.p)
        os.close(self.h)

    def make_account(self, account):
        name = account["name"].encode() + b"\0"
        attributes = struct.pack("=HH", 4 + len(name), ACCT_NAME) + name + bytes(-len(name) % 4)
        if account["quota"] is not None:
            attributes += struct.pack("=HH", 8, ACCT_FLAGS) + struct.pack(">I", ACCT_MODES[account["mode"]])
            attributes += struct.pack("=HH", 12, ACCT_QUOTA) + struct.pack(">Q", account["quota"])
        body = struct.pack("=BBH", 0, 0, 0) + attributes
        self.netlink.send(struct.pack("=IHHII", 16 + len(body), ACCT_NEW, 0x405, 1, 0) + body)
        error = struct.unpack("=i", self.netlink.recv(65536)[16:20])[0]
        if error != 0:
            raise OSError(-error, "nfacct " + account["name"])

    def zero_accounts(self):
        self.netlink.send(struct.pack("=IHHIIBBH", 20, ACCT_GET_ZERO, 0x305, 1, 0, 0, 0, 0))
        while struct.unpack("=H", self.netlink.recv(65536)[4:6])[0] != 3:  # NLMSG_DONE comes in a message of its own
            pass

    def flush_connections(self):
        message = struct.pack("=IHHIIBBH", 20, CT_DELETE, 5, 1, 0, 0, 0, 0)
        self.netlink.send(message)
        self.netlink.recv(65536)

    def drain(self, out):
        while True:
            try:
                frame, address = self.capture.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] == 4:  # PACKET_OUTGOING
                continue
            out.append([self.number[address[0]], base64.b64encode(frame).decode()])

    def settle(self):
        """Returns when H has done with everything injected so far."""
        rounds = 1
        while rounds > 0:
            rounds -= 1
            self.wires[0].send(self.sentinel)
            try:
                self.sentinel_in.recv(100)
                continue
            except BlockingIOError:
                rounds = ROUNDS
            if not select.select([self.sentinel_in], [], [], 5)[0]:
                raise RuntimeError("sentinel lost")
            self.sentinel_in.recv(100)

    def inject(self, packet):
        where, data, to, mark, _ = packet
        data = base64.b64decode(data)
        now = time.time_ns() // 1000
        error = 0
        begun = time.monotonic()
        try:
            if where >= 0:
                self.wires[where].send(data)
            else:
                family = data[0] >> 4
                self.raw[family].setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
                self.raw[family].sendto(data, (to, 0))
        except OSError as e:
            error = e.errno
        self.stall = max(self.stall, time.monotonic() - begun)
        return now, error


def run_tool(args, text):
    return subprocess.run(args, input=text.encode("utf-8", "surrogateescape"), capture_output=True)


class Agent:
    def __init__(self):
        self.config = None
        self.current = None
        self.pool = []
        self.lines = None
        self.switch = self.log_lock = self.switch_before = None
        os.environ["XTABLES_LOCKFILE"] = os.path.join(tempfile.gettempdir(), "chainwalk-kernel-%d.lock" % os.getpid())
        os.environ["TZ"] = "UTC"

    def init(self, m):
        self.config = m
        if m["cpu"] is not None:
            os.sched_setaffinity(0, {m["cpu"]})
        if m["log"]:
            try:
                self.lines = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
                self.switch = os.open(LOG_SWITCH, os.O_RDWR)
                self.log_lock = os.open(LOG_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError:
                self.lines = None
        return {"log": self.lines is not None}

    def take_log(self):
        """Waits until no other suite's case logs."""
        if self.lines is None or self.switch_before is not None:
            return
        fcntl.flock(self.log_lock, fcntl.LOCK_EX)
        self.switch_before = os.pread(self.switch, 8, 0)
        os.pwrite(self.switch, b"1\n", 0)

    def give_log(self):
        if self.switch_before is not None:
            os.pwrite(self.switch, self.switch_before, 0)
            self.switch_before = None
            fcntl.flock(self.log_lock, fcntl.LOCK_UN)

    def ready(self):
        """A namespace in which the reports of joined IPv6 groups are over."""
        while len(self.pool) < (4 if self.current else 2):
            self.pool.append(Host(self.config))
        host = self.pool.pop(0)
        age = time.monotonic() - host.born
        if age < self.config["settleSeconds"]:
            time.sleep(self.config["settleSeconds"] - age)
        set_net(host.h)
        return host

    def prefix(self):
        return "iptables" if self.config["family"] == 4 else "ip6tables"

    def load(self, m):
        if m["fresh"] or self.current is None:
            if self.current is not None:
                # Closing waits for grace periods: not the next case's business.
                threading.Thread(target=self.current.close).start()
            self.current = self.ready()
        host = self.current
        set_net(host.h)
        self.give_log()
        if m["logs"]:
            self.take_log()
        restore = [self.prefix() + "-legacy-restore", "-c"]
        for text in m["texts"]:
            run = run_tool(restore, text)
            if run.returncode != 0:
                break
        host.stall = 0.0
        host.flush_connections()
        if any("nfacct" in text for text in m["texts"]):
            host.zero_accounts()
        host.settle()
        host.drain([])
        if self.lines is not None:
            os.lseek(self.lines, 0, os.SEEK_END)
        return {"code": run.returncode, "error": run.stderr.decode("utf-8", "replace")}

    def send(self, m):
        host = self.current
        times, errors, out = [], [], []
        for packet in m["packets"]:
            if packet[4] > 0:
                time.sleep(packet[4] / 1000)
            now, error = host.inject(packet)
            times.append(now)
            errors.append(error)
            host.settle()
        host.drain(out)
        return {"times": times, "errors": errors, "out": out}

    def finish(self, m):
        host = self.current
        out = []
        host.settle()
        host.drain(out)
        now = time.time_ns() // 1000
        begun = time.monotonic()
        with open("/proc/thread-self/net/nf_conntrack") as f:
            connections = f.read()
        listing = None
        if m["listing"]:
            family = "ipv4" if self.config["family"] == 4 else "ipv6"
            listing = run_tool(["conntrack", "-L", "-o", "extended", "-f", family], "").stdout.decode()
        host.stall = max(host.stall, time.monotonic() - begun)
        lines = []
        while self.lines is not None:
            try:
                record = os.read(self.lines, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:
                continue
            head, _, text = record.partition(b";")
            lines.append([int(head.split(b",")[0]) & 7, text.split(b"\n")[0].decode("utf-8", "replace")])
        self.give_log()
        saved = run_tool([self.prefix() + "-legacy-save", "-c"], "").stdout.decode("utf-8", "surrogateescape")
        return {"out": out, "now": now, "stall": host.stall, "connections": connections, "listing": listing, "log": lines, "saved": saved}

    def save(self, m):
        """Loads one rule file and returns what is saved, without traffic."""
        result = self.load(m)
        saved = run_tool([self.prefix() + "-legacy-save", "-c"], "").stdout.decode("utf-8", "surrogateescape")
        return {**result, "saved": saved}

    def bundle(self, m):
        """What the host under test prints of itself, by file name of a bundle."""
        if self.current is None:
            self.current = self.ready()
        set_net(self.current.h)
        commands = {
            "addr.json": ["ip", "-j", "addr"],
            "route.json": ["ip", "-j", "-4", "route", "show", "table", "all"],
            "route6.json": ["ip", "-j", "-6", "route", "show", "table", "all"],
            "neigh.json": ["ip", "-j", "neigh"],
        }
        files = {name: run_tool(command, "").stdout.decode() for name, command in commands.items()}
        modes = [
            "" if a["quota"] is None else ", quota = %d, mode = %s" % (a["quota"], a["mode"]) for a in self.config["accounts"]
        ]
        files["nfacct"] = "".join(
            "{ pkts = 0, bytes = 0%s } = %s;\n" % (mode, a["name"]) for mode, a in zip(modes, self.config["accounts"])
        )
        lines = []
        for top in ("net/ipv4", "net/ipv6", "net/netfilter"):
            for folder, _, names in sorted(os.walk("/proc/sys/" + top)):
                for name in sorted(names):
                    path = os.path.join(folder, name)
                    try:
                        with open(path) as f:
                            value = f.read().strip()
                    except OSError:
                        continue
                    if "\n" not in value and value != "":
                        lines.append("%s = %s\n" % (path[len("/proc/sys/"):].replace(".", "\0").replace("/", ".").replace("\0", "/"), value))
        files["sysctl"] = "".join(lines)
        return files


def main():
    agent = Agent()
    for line in sys.stdin.buffer:
        m = json.loads(line)
        try:
            reply = getattr(agent, m["op"])(m)
        except Exception as e:  # told to the driver, which decides
            reply = {"failed": "%s: %s" % (type(e).__name__, e)}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    agent.give_log()
    try:
        os.unlink(os.environ["XTABLES_LOCKFILE"])
    except OSError:
        pass


main()
