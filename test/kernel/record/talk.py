#!/usr/bin/env python3
"""Programs that talk in the recordings. Nothing is left to chance that can be chosen: ports, sizes, identifiers."""
import socket
import struct
import sys
import threading
import time


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bound(kind, source, port):
    s = socket.socket(family(source), kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((source, port))
    return s


def ready():
    print("ready", flush=True)


def http_serve(address, port, body_size):
    """HTTP/1.1 with connections kept alive. /reset closes the connection hard; /SIZE gives a body of SIZE bytes."""
    listener = bound(socket.SOCK_STREAM, address, int(port))
    listener.listen(16)
    ready()

    def serve(conn):
        file = conn.makefile("rb")
        while True:
            line = file.readline()
            if not line:
                break
            path = line.split()[1].decode()
            close = False
            while True:
                header = file.readline().strip().lower()
                close = close or header == b"connection: close"
                if not header:
                    break
            if path == "/reset":
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                file.close()
                conn.close()
                return
            size = int(path[1:]) if path[1:].isdigit() else int(body_size)
            body = (("%s %s\n" % (address, path)) * size).encode()[:size]
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s" % (size, body))
            if close:
                break
        file.close()
        conn.close()

    def serve_quietly(conn):
        try:
            serve(conn)
        except OSError:
            conn.close()

    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve_quietly, args=(conn,), daemon=True).start()


def http_get(source, port, host, host_port, *paths):
    """All paths over one connection; a refused, reset or silent connection is part of the play."""
    s = bound(socket.SOCK_STREAM, source, int(port))
    s.settimeout(4)
    try:
        s.connect((host, int(host_port)))
        file = s.makefile("rb")
        for path in paths:
            last = "Connection: close\r\n" if path is paths[-1] else ""
            s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (path, host, last)).encode())
            size = 0
            status = file.readline().strip().decode()
            while True:
                line = file.readline().strip().lower()
                if line.startswith(b"content-length:"):
                    size = int(line.split()[1])
                if not line:
                    break
            body = file.read(size)
            print(status, len(body), body[:24], flush=True)
            time.sleep(0.02)
        file.close()
    except OSError as error:
        print("http_get", host, host_port, error, flush=True)
    s.close()
    time.sleep(0.1)


def udp_serve(address, port):
    """Answers each datagram with itself and 40 bytes more, from the address that was asked."""
    s = bound(socket.SOCK_DGRAM, address, int(port))
    ready()
    while True:
        data, peer = s.recvfrom(4096)
        s.sendto(data + b"A" * 40, peer)


def udp_ask(source, port, host, host_port, count="1"):
    s = bound(socket.SOCK_DGRAM, source, int(port))
    s.settimeout(0.5)
    s.connect((host, int(host_port)))
    for i in range(int(count)):
        query = struct.pack(">HHHHHH", 0x1000 + i, 0x0100, 1, 0, 0, 0) + b"\x03www\x07example\x03com\x00\x00\x01\x00\x01"
        try:
            s.send(query)
            print("udp_ask", len(s.recv(4096)), flush=True)
        except OSError as error:
            print("udp_ask", host, host_port, error, flush=True)
    s.close()


def shout(source, port, host, host_port):
    """One datagram to a broadcast or multicast address."""
    s = bound(socket.SOCK_DGRAM, source, int(port))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
    s.sendto(b"is anybody there?", (host, int(host_port)))
    s.close()


def tcp_hold(source, port, host, host_port, seconds):
    """Opens a connection, sends a line, and leaves it open."""
    s = bound(socket.SOCK_STREAM, source, int(port))
    s.settimeout(4)
    s.connect((host, int(host_port)))
    s.sendall(b"GET /7 HTTP/1.1\r\n\r\n")
    print("tcp_hold", len(s.recv(4096)), flush=True)
    ready()
    time.sleep(float(seconds))


def tcp_abort(source, port, host, host_port):
    """Opens a connection, sends half a request, and resets it."""
    s = bound(socket.SOCK_STREAM, source, int(port))
    s.settimeout(4)
    s.connect((host, int(host_port)))
    s.sendall(b"GET /half")
    time.sleep(0.05)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def half_open(source, port, host, host_port, seconds):
    """A SYN and the kernel's retransmissions of it, for so long; then nothing."""
    s = bound(socket.SOCK_STREAM, source, int(port))
    s.settimeout(float(seconds))
    try:
        s.connect((host, int(host_port)))
    except OSError as error:
        print("half_open", host, host_port, error, flush=True)
    s.close()


def scan(source, first_port, host, *ports):
    """A connect scan: one SYN for each port, closed after 150 ms."""
    for i, port in enumerate(ports):
        s = bound(socket.SOCK_STREAM, source, int(first_port) + i)
        s.settimeout(0.15)
        try:
            s.connect((host, int(port)))
            print("scan", port, "open", flush=True)
        except OSError as error:
            print("scan", port, error, flush=True)
        s.close()


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def raw_tcp(source, port, host, host_port, *flag_sets):
    """Lone TCP segments with the given flags (FSRPAU, 0 for none) that belong to no connection."""
    s = socket.socket(family(source), socket.SOCK_RAW, socket.IPPROTO_TCP)
    s.bind((source, 0))
    for i, flags in enumerate(flag_sets):
        bits = sum(1 << "FSRPAU".index(c) for c in flags if c != "0")
        head = struct.pack(">HHIIBBHHH", int(port) + i, int(host_port), 1000 + i, 2000 if "A" in flags else 0, 0x50, bits, 1024, 0, 0)
        pair = socket.inet_pton(family(source), source) + socket.inet_pton(family(source), host)
        pseudo = pair + (struct.pack(">BBH", 0, 6, 20) if family(source) == socket.AF_INET else struct.pack(">II", 20, 6))
        total = checksum(pseudo + head)
        s.sendto(head[:16] + struct.pack(">H", total) + head[18:], (host, 0))
        time.sleep(0.03)


def ping(source, ident, host, count="2", size="56"):
    """Echo requests with a fixed identifier."""
    v6 = family(source) == socket.AF_INET6
    s = socket.socket(family(source), socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    s.bind((source, 0))
    s.settimeout(0.4)
    for i in range(int(count)):
        body = bytes(j & 0xFF for j in range(int(size)))
        head = struct.pack(">BBHHH", 128 if v6 else 8, 0, 0, int(ident), i + 1)
        if not v6:
            head = head[:2] + struct.pack(">H", checksum(head + body)) + head[4:]
        s.sendto(head + body, (host, 0))
        try:
            while True:
                data, peer = s.recvfrom(70000)
                kind = data[0] if v6 else data[(data[0] & 15) * 4]
                if kind not in (8, 128):
                    print("ping", host, "type", kind, "from", peer[0], flush=True)
                    break
        except OSError as error:
            print("ping", host, error, flush=True)


def trace(source, port, host, hops):
    """One UDP probe for each hop limit, each to a port of its own, as traceroute does."""
    for hop in range(1, int(hops) + 1):
        s = bound(socket.SOCK_DGRAM, source, int(port) + hop)
        if family(source) == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hop)
        else:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop)
        s.sendto(b"probe" * 4, (host, 33434 + hop))
        time.sleep(0.08)
        s.close()


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
