"""Follows one sender's packets on a node for some seconds: `verify.py why` runs it there.

Usage: trace_sender.py SETTINGS

SETTINGS is a JSON object:
- `sender`: its IP address
- `seconds`: how long
- `settling`: seconds between the last packet that is counted and the counters afterwards
- `interfaces`: names of the interfaces on which its packets are counted
- `ask`: a list of [IPv4 ADDRESS, INTERFACE]: which MAC addresses answer there for that address, by ARP
- `files`: paths, and `commands`: lists of words by name, which are read and run before and after
- `lines`: of `files` and of the commands' output, only lines that match this regular expression are kept, by name or path
- `once`: lists of words by name, which are run once

Prints a JSON object:
- `before` and `after`: `files` and `commands`, each a text by path or name; null for what is not there
- `once`: a text by name
- `frames`: a list of [DIRECTION, INTERFACE, SOURCE MAC, DESTINATION MAC, IP PROTOCOL, DESTINATION, PORT, NUMBER], where DIRECTION
  is "in" or "out" and PORT is null for what has none, such as a later fragment
- `missed`: how many packets came too fast to be looked at
- `answers`: MAC addresses by address that was asked for
- `macs`: the MAC address of each interface
- `errors`: why an interface could not be looked at, by its name

It changes nothing on the machine, and ends by itself. One file, standard library only, for Python 2.7 and 3.
"""
# ruff: noqa: C402, RUF005, SIM105, UP004, UP024, UP032

import ctypes
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time

ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
PACKET_OUTGOING, PACKET_OTHERHOST = 4, 3
BUFFER = 8 << 20
LOAD_HALF, LOAD_WORD, IF_EQUAL, RETURN = 0x28, 0x20, 0x15, 0x06  # classic BPF
SNAP = 128
ASKED = 3
"""So many times each address is asked for, at intervals of `ASK_EVERY` seconds: an answer can be lost."""
ASK_EVERY = 0.4

clock = getattr(time, "monotonic", time.time)  # Python 2.7 has no time.monotonic


def packed(address):
    """An IP address as bytes."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def sender_filter(address):
    """A program for the kernel's packet filter (bpf(4)) that keeps Ethernet frames with this IP source."""
    raw = packed(address)
    kind, first = (ETH_P_IP, 26) if len(raw) == 4 else (ETH_P_IPV6, 22)
    words = struct.unpack("!{}I".format(len(raw) // 4), raw)
    checks = [(LOAD_HALF, 12, kind)] + [
        (LOAD_WORD, first + 4 * index, word) for index, word in enumerate(words)
    ]
    program, left = b"", 2 * len(checks)
    for load, offset, value in checks:
        left -= 2
        program += struct.pack("HBBI", load, 0, 0, offset)
        program += struct.pack("HBBI", IF_EQUAL, 0, left + 1, value)
    return program + struct.pack("HBBI", RETURN, 0, 0, SNAP) + struct.pack("HBBI", RETURN, 0, 0, 0)


def packet_socket(interface, kind, program=None):
    """A socket that sees an interface's frames of this kind; with a program, only those that it keeps."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # it receives nothing until it is bound
    if program:
        code = ctypes.create_string_buffer(program, len(program))
        found.setsockopt(
            socket.SOL_SOCKET,
            SO_ATTACH_FILTER,
            struct.pack("HP", len(program) // 8, ctypes.addressof(code)),
        )
        found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    found.bind((interface, kind))
    found.setblocking(False)
    return found


def mac(raw):
    return ":".join("{:02x}".format(byte) for byte in bytearray(raw))


def headers(frame):
    """What `frames` holds of a frame: both MACs, the protocol, the destination and the port."""
    octets = bytearray(frame)
    (kind,) = struct.unpack("!H", frame[12:14])
    if kind == ETH_P_IP:
        protocol, start = octets[23], 14 + 4 * (octets[14] & 15)
        later = struct.unpack("!H", frame[20:22])[0] & 0x1FFF
        destination = socket.inet_ntop(socket.AF_INET, frame[30:34])
    else:
        protocol, start, later = octets[20], 54, 0
        destination = socket.inet_ntop(socket.AF_INET6, frame[38:54])
    port = None
    if protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP) and not later and len(frame) >= start + 4:
        (port,) = struct.unpack("!H", frame[start + 2 : start + 4])
    return mac(frame[6:12]), mac(frame[0:6]), protocol, destination, port


def question(own, address):
    """An ARP probe (RFC 5227): who has this address? It changes nobody's table, as it names no address of its own."""
    ethernet = b"\xff" * 6 + own + struct.pack("!H", ETH_P_ARP)
    return (
        ethernet + struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1) + own + b"\0" * 4 + b"\0" * 6 + packed(address)
    )


class Follower(object):
    def __init__(self, settings):
        self.frames, self.answers, self.errors, self.macs = {}, {}, {}, {}
        self.missed = 0
        self.sockets, self.asking, self.questions = [], [], []
        program = sender_filter(settings["sender"])
        for interface in settings["interfaces"]:
            try:
                found = packet_socket(interface, ETH_P_ALL, program)
                self.sockets.append(found)
                self.macs[interface] = mac(found.getsockname()[4])
            except (OSError, socket.error) as error:
                self.errors[interface] = str(error)
        for address, interface in settings["ask"]:
            try:
                found = packet_socket(interface, ETH_P_ARP)
            except (OSError, socket.error):
                continue
            self.asking.append(found)
            self.answers.setdefault(address, [])
            self.questions.append((found, question(found.getsockname()[4], address)))

    def follow(self, seconds):
        start = clock()
        asked = 0
        while True:
            now = clock() - start
            if now >= seconds:
                break
            if asked < ASKED and now >= asked * ASK_EVERY:
                asked += 1
                for asker, text in self.questions:
                    self.ask(asker, text)
            left = seconds - now if asked >= ASKED else min(seconds - now, ASK_EVERY)
            ready, _, _ = select.select(self.sockets + self.asking, [], [], left)
            for one in ready:
                self.take(one)
        for one in self.sockets:
            _, drops = struct.unpack("II", one.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self.missed += drops
        for one in self.sockets + self.asking:
            one.close()

    def ask(self, asker, text):
        try:
            asker.send(text)
        except (OSError, socket.error):  # the link is down
            pass

    def take(self, one):
        for _ in range(1000):  # the clock is looked at now and then
            try:
                frame, where = one.recvfrom(SNAP)
            except (OSError, socket.error):  # nothing more, or the interface has gone
                return
            interface, kind, direction = where[0], where[1], where[2]
            if one in self.asking:
                self.answered(frame)
            elif direction != PACKET_OTHERHOST and kind in (ETH_P_IP, ETH_P_IPV6) and len(frame) >= 34:
                key = ("out" if direction == PACKET_OUTGOING else "in", interface) + headers(frame)
                self.frames[key] = self.frames.get(key, 0) + 1

    def answered(self, frame):
        if len(frame) < 42 or frame[20:22] != b"\0\2":  # not an answer
            return
        address = socket.inet_ntop(socket.AF_INET, frame[28:32])
        sender = mac(frame[22:28])
        if sender not in self.answers.get(address, [sender]):
            self.answers[address].append(sender)


def text_of(words):
    """What a command prints; None where it can't be run."""
    with open(os.devnull, "wb") as nowhere:
        try:
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=nowhere)
        except (OSError, IOError):
            return None
        return process.communicate()[0].decode("utf-8", "replace")


def content_of(path):
    try:
        with open(path, "rb") as opened:
            return opened.read().decode("utf-8", "replace")
    except (OSError, IOError):
        return None


def counters(settings):
    def kept(name, text):
        pattern = settings["lines"].get(name)
        if text is None or pattern is None:
            return text
        return "".join(line for line in text.splitlines(True) if re.search(pattern, line))

    return {
        "files": dict((path, kept(path, content_of(path))) for path in settings["files"]),
        "commands": dict((name, kept(name, text_of(words))) for name, words in settings["commands"].items()),
    }


def main(settings):
    once = dict((name, text_of(words)) for name, words in settings["once"].items())
    before = counters(settings)
    follower = Follower(settings)
    follower.follow(settings["seconds"])
    time.sleep(settings["settling"])
    print(
        json.dumps(
            {
                "before": before,
                "after": counters(settings),
                "once": once,
                "frames": [list(key) + [number] for key, number in sorted(follower.frames.items(), key=str)],
                "missed": follower.missed,
                "answers": follower.answers,
                "macs": follower.macs,
                "errors": follower.errors,
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
