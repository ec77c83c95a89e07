"""`Pipe`: commands go out at once, answers come in order, and nothing is done twice, late, or told to the wrong one."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
import redis
from bus_helpers import LossyProxy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusRefused, BusUnavailable, Pipe
from ibstream.bus import pipe as pipe_module
from ibstream.bus.connection import DEADLINE_S
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import ConfigurationError

Servers = Callable[[], KillableServer]


@contextlib.asynccontextmanager
async def piped(
    bus: Bus, on_connected: Callable[[], None] = lambda: None, deadline_s: float = DEADLINE_S
) -> AsyncIterator[Pipe]:
    """A pipe that is connected."""
    pipe = Pipe(bus, clock=SYSTEM_CLOCK, on_connected=on_connected, deadline_s=deadline_s)
    stop = asyncio.Event()
    task = asyncio.create_task(pipe.run(stop))
    try:
        await eventually(lambda: pipe.is_connected, what="a connection")
        yield pipe
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def one(url: str) -> AsyncIterator[tuple[Pipe, Bus]]:
    """A pipe and its bus."""
    async with Bus(url, client_name="test") as bus, piped(bus) as pipe:
        yield pipe, bus


class MeddlingProxy:
    """Stands between client and server: says things to clients by itself, and drops them without a word to the server."""

    def __init__(self, url: str, *, path: Path | None = None) -> None:
        """`path`: of the unix socket on which it listens, in place of a port."""
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        self._path = path
        self._server: asyncio.Server | None = None
        self._clients: list[asyncio.StreamWriter] = []
        self._held: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        """Where clients connect instead."""
        assert self._server is not None
        if self._path is not None:
            return f"unix://{self._path}"
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in (*self._clients, *self._held):
            writer.transport.abort()
        await self._server.wait_closed()

    def say(self, data: bytes) -> None:
        """Say something to the newest client."""
        self._clients[-1].write(data)

    def drop_client(self) -> None:
        """Close the newest client's connection; the server's side stays open."""
        self._clients[-1].transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._address)
        self._clients.append(writer)
        self._held.append(server_writer)
        await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)


async def lost(answers: list[Any], count: int) -> None:
    """Wait for that many answers, all of them the word that nobody knows."""
    await eventually(lambda: len(answers) >= count, within_s=DEADLINE_S + 5, what="the end of every command")
    assert [type(answer) for answer in answers] == [BusUnavailable] * count


def test_answers_come_in_the_order_of_the_commands(redis_url: str) -> None:
    """Many under way at once, of every shape of answer; refusals among them spoil nothing."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, _):
            answers: list[Any] = []
            for number in range(1000):
                pipe.send(("ECHO", str(number)), answers.append)
                pipe.send(("XLEN", "string"), answers.append)
                pipe.send(("SET", "string", number), answers.append)
                pipe.send(("MGET", "string", "nothing"), answers.append)
            assert answers == []
            await eventually(lambda: len(answers) == 4000, what="every answer")
            assert answers[0::4] == [str(number).encode() for number in range(1000)]
            assert answers[1] == 0
            assert {type(answer) for answer in answers[5::4]} == {BusRefused}
            assert answers[2::4] == [b"OK"] * 1000
            assert answers[3::4] == [[str(number).encode(), None] for number in range(1000)]

    run(scenario())


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=20))
def test_whatever_is_sent_comes_back_as_it_was(redis_url: str, values: list[bytes]) -> None:
    """Of any bytes and any size, however the socket cuts them."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, _):
            answers: list[Any] = []
            for value in values:
                pipe.send(("ECHO", value), answers.append)
            await eventually(lambda: len(answers) == len(values), what="every answer")
            assert answers == values

    run(scenario())


def test_a_command_is_at_the_server_before_its_caller_returns(redis_url: str) -> None:
    """No task has to be scheduled: the loop never turns, and still a connection of another kind sees the effect."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, _):
            answers: list[Any] = []
            pipe.send(("SET", "k", "v"), answers.append)
            with redis.Redis.from_url(redis_url) as other:
                for _ in range(1000):
                    if value := other.get("k"):
                        break
            assert value == b"v"
            assert answers == []

    run(scenario())


def test_a_unix_socket_serves_as_well(redis_url: str, tmp_path: Path) -> None:
    """To the bus and to its pipe."""

    async def scenario() -> None:
        async with MeddlingProxy(redis_url, path=tmp_path / "redis") as proxy, one(proxy.url) as (pipe, bus):
            await pipe.ask("SET", "k", "v")
            assert await bus.get("k") == b"v"

    run(scenario())


def test_a_callback_may_send_the_next_command(redis_url: str) -> None:
    """That is how a publisher goes on without a turn of the loop."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, bus):
            done = asyncio.Event()

            def next_one(length: int) -> None:
                if length == 500:
                    done.set()
                else:
                    pipe.send(("RPUSH", "list", "x"), next_one)

            next_one(0)
            await done.wait()
            assert await bus.ask("LLEN", "list") == 500

    run(scenario())


def test_what_is_corked_goes_out_together(redis_url: str) -> None:
    """Nothing before the last cork is drawn, and then all of it, in order, without a turn of the loop."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, _):
            answers: list[Any] = []
            with redis.Redis.from_url(redis_url) as other:
                pipe.cork()
                pipe.send(("RPUSH", "list", 1), answers.append)
                pipe.cork()
                pipe.send(("RPUSH", "list", 2), answers.append)
                pipe.uncork()
                assert [other.llen("list") for _ in range(20)] == [0] * 20
                pipe.uncork()
                for _ in range(1000):
                    if length := other.llen("list"):
                        break
                assert length == 2
            await eventually(lambda: answers == [1, 2], what="the answers")
            assert await pipe.ask("LRANGE", "list", 0, -1) == [b"1", b"2"]

    run(scenario())


def test_failures_are_told_as_the_bus_tells_them(redis_url: str) -> None:
    """The same error through `Bus.call` and through the pipe is of the same kind and says the same."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, bus):
            await bus.put("k", b"v")
            oom = "return redis.error_reply('MISCONF Redis is configured to save RDB snapshots')"
            for command in (("XLEN", "k"), ("NONSENSE",), ("EVAL", oom, 0)):
                with pytest.raises((BusRefused, BusUnavailable)) as by_bus:
                    await bus.ask(*command)
                with pytest.raises(type(by_bus.value)) as by_pipe:
                    await pipe.ask(*command)
                assert str(by_pipe.value) == str(by_bus.value)
            assert type(by_bus.value) is BusUnavailable

    run(scenario())


def test_without_a_connection_nothing_is_sent_and_the_caller_is_told(private_server: Servers) -> None:
    """Before the first connection, and after the last."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            pipe = Pipe(bus, clock=SYSTEM_CLOCK)
            with pytest.raises(BusUnavailable, match="not connected"):
                pipe.send(("SET", "k", "v"), lambda _: None)
            async with piped(bus) as pipe:
                pass
            with pytest.raises(BusUnavailable, match="not connected"):
                await pipe.ask("SET", "k", "v")
            assert await bus.get("k") is None

    run(scenario())


def test_every_command_under_way_ends_when_the_server_dies_and_none_is_sent_again(private_server: Servers) -> None:
    """Each ends once; the pipe is connected again by itself, says so, and answers what is asked then."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            connected: list[bool] = []
            async with piped(bus, lambda: connected.append(True)) as pipe:
                answers: list[Any] = []
                async with server.frozen():
                    for _ in range(50):
                        pipe.send(("RPUSH", "list", "x"), answers.append)
                    server.signal(signal.SIGKILL)
                await server.stop()
                await lost(answers, 50)
                assert not pipe.is_connected
                await server.start()
                await eventually(lambda: pipe.is_connected, what="a new connection")
                assert await pipe.ask("ECHO", "after") == b"after"
                assert await pipe.ask("LLEN", "list") in (0, 50)
                assert len(answers) == 50
                assert connected == [True, True]

    run(scenario())


def test_a_frozen_server_is_found_and_what_it_has_not_done_by_then_it_never_does(private_server: Servers) -> None:
    """It wakes up with the commands in its socket and a second connection that asks for other things: those come alone,
    because the first thing said on the new connection is that the old one is to be closed."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus, piped(bus) as pipe:
            answers: list[Any] = []
            async with server.frozen():
                started = SYSTEM_CLOCK.monotonic()
                pipe.send(("RPUSH", "list", "old"), answers.append)
                await lost(answers, 1)
                assert DEADLINE_S <= SYSTEM_CLOCK.monotonic() - started < DEADLINE_S + 3
            await eventually(lambda: pipe.is_connected, what="a new connection")
            await pipe.ask("RPUSH", "list", "new")
            assert await bus.ask("LRANGE", "list", 0, -1) in ([b"new"], [b"old", b"new"])

    run(scenario())


def test_a_command_waits_no_longer_than_its_pipe_allows(private_server: Servers) -> None:
    """To the tenth of a second, whenever in a second it was sent: leases are counted on it."""

    async def scenario() -> None:
        async with (
            private_server() as server,
            Bus(server.url, client_name="test") as bus,
            piped(bus, deadline_s=1.3) as pipe,
        ):
            await SYSTEM_CLOCK.sleep(0.4)  # a look in the middle of its time
            answers: list[Any] = []
            async with server.frozen():
                started = SYSTEM_CLOCK.monotonic()
                pipe.send(("RPUSH", "list", "old"), answers.append)
                await lost(answers, 1)
                assert 1.3 <= SYSTEM_CLOCK.monotonic() - started < 1.6
            assert "no answer within 1.3 s" in str(answers[0])

    run(scenario())


def test_a_pipe_that_is_cut_ends_what_is_under_way_and_goes_on_with_another_connection(private_server: Servers) -> None:
    """What the server has not done by then it never does."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus, piped(bus) as pipe:
            answers: list[Any] = []
            async with server.frozen():
                pipe.send(("RPUSH", "list", "old"), answers.append)
                pipe.cut("by the test")
                with pytest.raises(BusUnavailable, match="not connected"):
                    pipe.send(("RPUSH", "list", "too late"), answers.append)
                await lost(answers, 1)
                assert str(answers[0]).endswith("by the test")
            await eventually(lambda: pipe.is_connected, within_s=DEADLINE_S + 5, what="a new connection")
            await pipe.ask("RPUSH", "list", "new")
            assert await bus.ask("LRANGE", "list", 0, -1) in ([b"new"], [b"old", b"new"])

    run(scenario())


def test_the_connection_before_is_closed_by_the_server_before_the_next_is_used(redis_url: str) -> None:
    """Whoever holds it open towards the server when the client has gone."""

    async def scenario() -> None:
        async with (
            MeddlingProxy(redis_url) as proxy,
            Bus(proxy.url, client_name="test") as bus,
            piped(bus) as pipe,
        ):
            first = await pipe.ask("CLIENT", "ID")
            proxy.drop_client()
            await eventually(lambda: not pipe.is_connected, what="the loss")
            await eventually(lambda: pipe.is_connected, what="a new connection")
            assert await pipe.ask("CLIENT", "LIST", "ID", first) == b""
            assert await pipe.ask("CLIENT", "ID") > first

    run(scenario())


def test_a_lost_answer_is_no_other_commands(redis_url: str) -> None:
    """The server did it, the connection died with the answer: the command ends as unknown, the next has its own answer."""

    async def scenario() -> None:
        async with (
            LossyProxy(redis_url) as proxy,
            Bus(proxy.url, client_name="test") as bus,
            piped(bus) as pipe,
        ):
            proxy.loses = b"RPUSH"
            with pytest.raises(BusUnavailable):
                await pipe.ask("RPUSH", "list", "x")
            proxy.loses = None
            await eventually(lambda: pipe.is_connected, what="a new connection")
            assert await pipe.ask("ECHO", "mine") == b"mine"
            assert await pipe.ask("LLEN", "list") == 1

    run(scenario())


def test_a_waiter_that_gives_up_leaves_no_answer_behind(redis_url: str) -> None:
    """However far its command had come, whoever asks next gets their own answer."""

    async def scenario() -> None:
        async with one(redis_url) as (pipe, _):
            for number in range(100):
                asking = asyncio.create_task(pipe.ask("ECHO", f"cancelled {number}"))
                for _ in range(number % 5):
                    await SYSTEM_CLOCK.sleep(0)
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking
                assert await pipe.ask("ECHO", f"{number}") == f"{number}".encode()

    run(scenario())


def test_what_the_server_does_not_take_shows_and_is_bounded(
    private_server: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending never waits. What the socket does not take shows as congestion; beyond the bound nothing is taken."""
    monkeypatch.setattr(pipe_module, "BYTES_UNDER_WAY_MAX", 20 * 2**20)

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus, piped(bus) as pipe:
            answers: list[Any] = []
            async with server.frozen():
                congested = [pipe.is_congested]
                for _ in range(20):
                    pipe.send(("SET", "k", b"x" * 2**20), answers.append)
                with pytest.raises(BusUnavailable, match="wait for their answers"):
                    pipe.send(("SET", "k", b"x"), answers.append)
                congested.append(pipe.is_congested)
            await eventually(lambda: len(answers) == 20, what="every answer")
            assert answers == [b"OK"] * 20
            assert [*congested, pipe.is_congested] == [False, True, False]
            assert await pipe.ask("STRLEN", "k") == 2**20

    run(scenario())


def test_the_number_of_commands_is_bounded_too(private_server: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones count as well."""
    monkeypatch.setattr(pipe_module, "UNDER_WAY_MAX", 10)

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus, piped(bus) as pipe:
            answers: list[Any] = []
            for _ in range(10):
                pipe.send(("PING",), answers.append)
            with pytest.raises(BusUnavailable, match="10 commands wait"):
                pipe.send(("PING",), answers.append)
            await eventually(lambda: len(answers) == 10, what="every answer")
            assert await pipe.ask("PING") in (b"PONG", "PONG")

    run(scenario())


def test_what_nobody_asked_for_ends_the_connection(redis_url: str) -> None:
    """A server that says something by itself cannot be trusted to answer in order."""

    async def scenario() -> None:
        async with (
            MeddlingProxy(redis_url) as proxy,
            Bus(proxy.url, client_name="test") as bus,
            piped(bus) as pipe,
        ):
            first = await pipe.ask("CLIENT", "ID")
            proxy.say(b"+NOISE\r\n")
            await eventually(lambda: not pipe.is_connected, what="the end")
            await eventually(lambda: pipe.is_connected, what="another connection")
            assert await pipe.ask("CLIENT", "ID") > first

    run(scenario())


def test_a_callback_that_fails_costs_the_connection_and_keeps_no_other_from_its_word(redis_url: str) -> None:
    """The loop reports it; those behind it hear that nobody knows, and the pipe is connected anew."""

    async def scenario() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        def fails(_: Any) -> None:
            raise RuntimeError("by the test")

        async with one(redis_url) as (pipe, _):
            answers: list[Any] = []
            pipe.send(("PING",), fails)
            pipe.send(("PING",), answers.append)
            pipe.send(("PING",), answers.append)
            await lost(answers, 2)
            assert [str(context["exception"]) for context in reported] == ["by the test"]
            await eventually(lambda: pipe.is_connected, what="a new connection")
            assert await pipe.ask("ECHO", "x") == b"x"

    run(scenario())


def test_the_stop_ends_what_is_under_way(private_server: Servers) -> None:
    """Nobody waits for ever for an answer that is not read any more."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            answers: list[Any] = []
            async with contextlib.AsyncExitStack() as until_the_stop:
                pipe = await until_the_stop.enter_async_context(piped(bus))
                server.signal(signal.SIGSTOP)
                pipe.send(("PING",), answers.append)
            await eventually(lambda: answers, within_s=2, what="the end")
            assert [type(answer) for answer in answers] == [BusUnavailable]
            server.signal(signal.SIGCONT)

    run(scenario())


def test_a_server_that_refuses_the_password_ends_it(private_server: Servers) -> None:
    """Trying again would not help."""

    async def scenario() -> None:
        async with private_server() as server:
            url = server.url.replace("redis://", "redis://nobody:wrong@")
            async with Bus(url, client_name="test") as bus:
                with pytest.raises(ConfigurationError, match="credentials"):
                    await Pipe(bus, clock=SYSTEM_CLOCK).run(asyncio.Event())

    run(scenario())


def test_a_user_who_may_not_ask_for_ids_is_served_all_the_same(redis_url: str) -> None:
    """An ACL without CLIENT and INFO costs the fence, not the connection."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as admin:
            await admin.ask("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+echo", "+select", "+client|setname")
            try:
                url = redis_url.replace("redis://", "redis://narrow:secret@")
                async with one(url) as (pipe, _):
                    assert await pipe.ask("ECHO", "x") == b"x"
            finally:
                await admin.ask("ACL", "DELUSER", "narrow")

    run(scenario())
