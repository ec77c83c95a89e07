"""Witnesses of arrivals: a wire-tap before the Gateway, a bare reader of a group, and a script that does without a broker.

    python -m _orders.witness tap LISTEN GATEWAY
    python -m _orders.witness hop REDIS_URL
    python -m _orders.witness script REDIS_URL

Each is a process of its own. The tap and the reader write a line `NAME SECONDS` for every arrival, stamped with CLOCK_MONOTONIC
as soon as the bytes are in the process, before they are looked at.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ibstream.bus import Bus
from ibstream.runtime.clock import SYSTEM_CLOCK

HOP_STREAM, SCRIPT_STREAM, SCRIPT_EVENTS, GROUP = "bench:hop", "bench:script", "bench:script:events", "bench"
BLOCK_MS = 1000
READ_AT_ONCE = 256
READ_BYTES = 1 << 16
PLACE_ORDER, ALL_OPEN_ORDERS = b"3", b"16"
NAMES = b"bench-"
"""What the order references of the benchmark begin with."""
LISTS_ASKED = "lists"
"""The name under which the tap writes that a broker has begun to ask for IBKR's lists."""


def say(name: str, at: float) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(f"{name} {at:.9f}\n")
    sys.stdout.flush()


def tap(listen: int, gateway: int) -> None:
    """Pass everything on between clients and the Gateway; stamp each order that goes to it."""
    with socket.create_server(("127.0.0.1", listen), backlog=8) as server:
        say("ready", SYSTEM_CLOCK.monotonic())
        while True:
            client, _ = server.accept()
            try:
                wire = socket.create_connection(("127.0.0.1", gateway))
            except OSError:
                client.close()
                continue
            for one in (client, wire):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(client, wire, True), daemon=True).start()
            threading.Thread(target=_pass_on, args=(wire, client, False), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, is_stamped: bool) -> None:
    rest = b""
    try:
        while data := source.recv(READ_BYTES):
            at = SYSTEM_CLOCK.monotonic()
            target.sendall(data)
            if is_stamped:
                rest = _report(rest + data, at)
    except OSError:
        pass
    for one in (source, target):  # whoever ended, the other hears of it
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


def _report(data: bytes, at: float) -> bytes:
    """Say which orders are among these frames; returns what is not a whole frame yet."""
    if data.startswith(b"API\0"):
        data = data[4:]
    position = 0
    for start, end in _frames(data):
        fields = data[start:end].split(b"\0")
        if fields[0] == PLACE_ORDER:
            name = next((field for field in fields if field.startswith(NAMES)), b"")
            if name:
                say(name.decode(), at)
        elif fields[0] == ALL_OPEN_ORDERS:
            say(LISTS_ASKED, at)
        position = end
    return data[position:]


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    while len(data) - position >= 4:
        (size,) = struct.unpack_from(">I", data, position)
        if len(data) - position - 4 < size:
            return
        yield position + 4, position + 4 + size
        position += 4 + size


async def hop(url: str) -> None:
    """A bare XREADGROUP with redis-py and nothing else; acknowledged once it is stamped."""
    async with Bus(url, client_name="bench-hop") as bus:
        redis: Any = bus.redis
        await redis.xgroup_create(HOP_STREAM, GROUP, id="0", mkstream=True)
        say("ready", SYSTEM_CLOCK.monotonic())
        while True:
            raw = await redis.xreadgroup(GROUP, "1", {HOP_STREAM: ">"}, count=READ_AT_ONCE, block=BLOCK_MS)
            at = SYSTEM_CLOCK.monotonic()
            for entry_id, fields in raw[0][1] if raw else []:
                say(fields[b"name"].decode(), at)
                await redis.xack(HOP_STREAM, GROUP, entry_id)


async def script(url: str) -> None:
    """What many write first: read one request, write what became of it and wait for the disk, acknowledge; then the next."""
    async with Bus(url, client_name="bench-script") as bus:
        redis: Any = bus.redis
        await redis.xgroup_create(SCRIPT_STREAM, GROUP, id="0", mkstream=True)
        say("ready", SYSTEM_CLOCK.monotonic())
        while True:
            raw = await redis.xreadgroup(GROUP, "1", {SCRIPT_STREAM: ">"}, count=1, block=BLOCK_MS)
            for entry_id, fields in raw[0][1] if raw else []:
                for status in ("pending_submit", "submitted"):
                    await redis.xadd(SCRIPT_EVENTS, {"status": status, "data": fields[b"data"]})
                await redis.execute_command("WAITAOF", 1, 0, BLOCK_MS)
                await redis.xack(SCRIPT_STREAM, GROUP, entry_id)


def main() -> None:
    """Take the part that the arguments name."""
    role, *given = sys.argv[1:]
    if role == "tap":
        tap(int(given[0]), int(given[1]))
    else:
        asyncio.run({"hop": hop, "script": script}[role](given[0]))


if __name__ == "__main__":
    main()
