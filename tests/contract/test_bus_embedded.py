"""`EmbeddedServer`: one per directory, on a port that nobody else has; it keeps its data and never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bus_helpers import raw
from redis_for_tests import KillableServer
from support import eventually, free_port, run

from ibstream.bus import Bus, BusUnavailable
from ibstream.bus.embedded import STOP_TIMEOUT_S, EmbeddedServer
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import ConfigurationError, FatalError

Servers = Callable[[], KillableServer]

PARENT = """
import asyncio, pathlib, sys
from ibstream.bus.embedded import EmbeddedServer
from ibstream.runtime.clock import SYSTEM_CLOCK

async def main():
    async with EmbeddedServer(pathlib.Path(sys.argv[1]), port=int(sys.argv[2]), clock=SYSTEM_CLOCK) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
"""A process that runs a server until it is killed, and prints the server's process id."""


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that has ended but was not yet collected by its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def write(url: str, count: int) -> None:
    """Count up."""
    async with Bus(url, client_name="test") as bus:
        for _ in range(count):
            await bus.call(raw(bus).incr("counter"))


async def counter(url: str) -> int:
    """How far it was counted."""
    async with Bus(url, client_name="test") as bus:
        return int(await bus.get("counter") or 0)


def test_it_starts_answers_and_stops(tmp_path: Path) -> None:
    """After `stop` the process is gone, the port is free, and the directory holds all there is to delete."""

    async def scenario() -> None:
        server = EmbeddedServer(tmp_path / "data", port=free_port(), clock=SYSTEM_CLOCK)
        async with server:
            pid = server.pid
            assert pid is not None
            assert is_alive(pid)
            await write(server.url, 1)
        assert not is_alive(pid)
        assert not server.pid
        with pytest.raises(BusUnavailable):
            await counter(server.url)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", server.port))

    run(scenario())


def test_a_graceful_stop_is_quick_and_keeps_everything(private_server: Servers) -> None:
    """What was written a moment before the stop is there after the next start."""

    async def scenario() -> None:
        server = private_server()
        async with server:
            await write(server.url, 500)
            started = SYSTEM_CLOCK.monotonic()
        assert SYSTEM_CLOCK.monotonic() - started < STOP_TIMEOUT_S / 2
        async with server:
            assert await counter(server.url) == 500

    run(scenario())


def test_a_killed_server_loses_nothing(private_server: Servers) -> None:
    """Every write that was answered survives SIGKILL of the server."""

    async def scenario() -> None:
        async with private_server() as server:
            await write(server.url, 500)
            await server.kill()
            await server.start()
            assert await counter(server.url) == 500

    run(scenario())


def test_a_directory_has_one_server(private_server: Servers, tmp_path: Path) -> None:
    """A second one, on any port, is refused with what to do, and the first is not disturbed."""

    async def scenario() -> None:
        async with private_server() as server:
            second = EmbeddedServer(tmp_path / "redis-0", port=free_port(), clock=SYSTEM_CLOCK)
            with pytest.raises(ConfigurationError, match=r"redis-0.*SA_REDIS__DATA_DIR"):
                await second.start()
            with pytest.raises(ConfigurationError, match="SA_REDIS__DATA_DIR"):
                await server.start()
            await write(server.url, 1)

    run(scenario())


def test_a_port_of_another_server_is_refused(private_server: Servers, tmp_path: Path) -> None:
    """The error names the URL to use instead, and the directory is free again."""

    async def scenario() -> None:
        async with private_server() as server:
            second = EmbeddedServer(tmp_path / "second", port=server.port, clock=SYSTEM_CLOCK)
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=rf"{server.port}.*SA_REDIS__URL={server.url}"):
                    await second.start()
            assert second.pid is None

    run(scenario())


def test_a_port_of_any_other_program_is_refused_at_once(tmp_path: Path) -> None:
    """Even of one that takes connections and says nothing."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            server = EmbeddedServer(tmp_path, port=other.getsockname()[1], clock=SYSTEM_CLOCK)
            started = SYSTEM_CLOCK.monotonic()
            with pytest.raises(ConfigurationError, match="SA_REDIS__EMBEDDED_PORT"):
                await server.start()
            assert SYSTEM_CLOCK.monotonic() - started < 1

    run(scenario())


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error has the end of its log; nothing is left running, and the directory is free again."""

    async def scenario() -> None:
        (tmp_path / "appendonlydir").write_text("a file where a directory must be")
        server = EmbeddedServer(tmp_path, port=free_port(), clock=SYSTEM_CLOCK)
        with pytest.raises(FatalError, match="appendonlydir"):
            await server.start()
        assert server.pid is None
        (tmp_path / "appendonlydir").unlink()
        async with server:
            await write(server.url, 1)

    run(scenario())


def test_a_server_that_ignores_the_stop_is_killed(private_server: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server cannot hear SIGTERM; after the grace it is gone all the same."""
    monkeypatch.setattr("ibstream.bus.embedded.STOP_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        server = private_server()
        await server.start()
        pid = server.pid
        assert pid is not None
        server.signal(signal.SIGSTOP)
        await server.stop()
        assert not is_alive(pid)

    run(scenario())


def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while it starts: no process, no lock."""

    async def scenario() -> None:
        server = EmbeddedServer(tmp_path, port=free_port(), clock=SYSTEM_CLOCK)
        starting = asyncio.create_task(server.start())
        await eventually(lambda: server.pid, what="the process")
        pid = server.pid
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert pid is not None
        assert not is_alive(pid)
        async with server:
            await write(server.url, 1)

    run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_parent_takes_its_server_along_and_frees_the_directory(tmp_path: Path) -> None:
    """After SIGKILL of the parent the server ends by itself, having saved all; the next one starts at once, waiting for
    the lock that the old server holds until then."""

    port = free_port()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), str(port)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())

    async def scenario() -> None:
        successor = EmbeddedServer(tmp_path, port=port, clock=SYSTEM_CLOCK)
        await write(successor.url, 100)
        parent.kill()
        async with successor:
            assert not is_alive(pid)
            assert successor.pid != pid
            assert await counter(successor.url) == 100

    try:
        run(scenario())
    finally:
        parent.kill()
        parent.wait()
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_it_serves_this_machine_only_and_never_forgets(private_server: Servers) -> None:
    """Bound to 127.0.0.1, append-only, no eviction: a full server refuses writes rather than lose orders."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            wanted = {
                "bind": "127.0.0.1",
                "protected-mode": "yes",
                "appendonly": "yes",
                "appendfsync": "always",
                "maxmemory-policy": "noeviction",
            }
            for name, value in wanted.items():
                assert await raw(bus).config_get(name) == {name: value}

    run(scenario())
