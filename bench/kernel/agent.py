"""Sends frames into network namespaces and times what the kernel does with them; lab.ts speaks with it.

Runs inside the namespace that holds the far ends of all links. One JSON request a line on stdin, one reply a line on
stdout. A frame sent on a veth link is received, by the softirq at the end of the send, on the same CPU and in the same
thread, so the thread's CPU time over a batch is the whole way of its packets, and nobody else's.
"""
import ctypes
import json
import os
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
ETH_P_ALL = 3
PCAP_HEADER, RECORD_HEADER = 24, 16
CHUNK = 256


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", Msghdr), ("len", ctypes.c_uint)]


libc = ctypes.CDLL(None, use_errno=True)
frames = []
messages = None
keep = []
sockets = {}


def socket_of(device):
    if device not in sockets:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        s.bind((device, 0))
        sockets[device] = s
    return sockets[device]


def load(path):
    """The frames of a classic pcap, ready to be sent."""
    global frames, messages, keep
    with open(path, "rb") as file:
        data = file.read()
    frames, at = [], PCAP_HEADER
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + RECORD_HEADER : at + RECORD_HEADER + size])
        at += RECORD_HEADER + size
    count = len(frames)
    messages = (Mmsghdr * count)()
    iovecs = (Iovec * count)()
    keep = [iovecs]
    for i, frame in enumerate(frames):
        buffer = ctypes.create_string_buffer(frame, len(frame))
        keep.append(buffer)
        iovecs[i] = Iovec(ctypes.addressof(buffer), len(frame))
        messages[i].hdr.iov = ctypes.pointer(iovecs[i])
        messages[i].hdr.iovlen = 1
    return {"frames": count}


def send(device, start, count):
    """Sends `count` frames from `start` on, from the first again after the last."""
    fd = socket_of(device).fileno()
    size = ctypes.sizeof(Mmsghdr)
    base = ctypes.addressof(messages)
    at, left = start % len(frames), count
    while left > 0:
        n = min(CHUNK, left, len(frames) - at)
        done = libc.sendmmsg(fd, ctypes.c_void_p(base + at * size), n, 0)
        if done <= 0:
            raise OSError(ctypes.get_errno(), "sendmmsg on " + device)
        at = (at + done) % len(frames)
        left -= done


def run(device, start, count):
    wall, cpu = time.monotonic_ns(), time.thread_time_ns()
    send(device, start, count)
    cpu, wall = time.thread_time_ns() - cpu, time.monotonic_ns() - wall
    return {"cpuNs": cpu, "wallNs": wall}


def look(device, out, count):
    """Sends frames one by one; of each, says what came out at `out`, as hex (null: nothing)."""
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listener.bind((out, ETH_P_ALL))
    listener.setblocking(False)
    seen = []
    try:
        for i in range(count):
            send(device, i, 1)
            frame = None
            while True:
                try:
                    got, address = listener.recvfrom(2048)
                except BlockingIOError:
                    break
                if address[2] != socket.PACKET_OUTGOING:
                    frame = got.hex()
            seen.append(frame)
    finally:
        listener.close()
    return {"seen": seen}


def handle(request):
    op = request["op"]
    if op == "pin":
        os.sched_setaffinity(0, {request["cpu"]})
        os.nice(-15)  # other programs slow a batch down, and change the caches under it
        return {}
    if op == "load":
        return load(request["path"])
    if op == "run":
        return run(request["device"], request["start"], request["count"])
    if op == "look":
        return look(request["device"], request["out"], request["count"])
    raise ValueError("unknown request " + op)


for line in sys.stdin:
    try:
        reply = handle(json.loads(line))
    except Exception as error:  # told to the caller, who ends the measurement
        reply = {"error": repr(error)}
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()
