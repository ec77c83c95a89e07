"""`Bus.call`: every command ends within its deadline, every failure has a type, no write is repeated behind our back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from bus_helpers import LossyProxy, cancel, raw
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher
from ibstream.bus.connection import COMMAND_CONNECTIONS
from ibstream.contracts.registry import DATA_JOBS, ORDER_REQUESTS, Stream
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import ConfigurationError

Servers = Callable[[], KillableServer]
SECRET = "hunter2/with#odd?characters"


def test_values_and_hashes(redis_url: str) -> None:
    """What was put is read back; what is not there is None or empty; a TTL ends a key."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            assert await bus.get("k") is None
            await bus.put("k", b"v")
            assert await bus.get("k") == b"v"
            await bus.put("short", b"v", ttl_s=0.05)
            await eventually(lambda: _absent(bus, "short"), what="the key to expire")
            await bus.delete("k", "never-there")
            assert await bus.get("k") is None
            assert await bus.hash("h") == {}
            await bus.set_fields("h", {"a": b"1", "b": b"2"})
            await bus.set_fields("h", {})
            assert await bus.hash("h") == {b"a": b"1", b"b": b"2"}
            assert await bus.members("s") == set()

    run(scenario())


async def _absent(bus: Bus, key: str) -> bool:
    return await bus.get(key) is None


def test_values_matching(redis_url: str) -> None:
    """All string keys of a pattern come with their values, however many there are, and no others."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            assert await bus.values_matching("beat:*") == {}
            for number in range(30):
                await bus.put(f"beat:{number}", str(number).encode())
            await bus.put("other", b"x")
            await bus.set_fields("beat:hash", {"no": b"string"})
            found = await bus.values_matching("beat:*")
            assert found == {f"beat:{number}": str(number).encode() for number in range(30)}

    run(scenario())


def test_a_killed_server_is_unavailable_at_once(private_server: Servers) -> None:
    """Connection reset, then connection refused: both are `BusUnavailable`, long before the deadline; then it is back."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.put("k", b"v")
            await server.kill()
            started = SYSTEM_CLOCK.monotonic()
            for _ in range(2):
                with pytest.raises(BusUnavailable, match=bus.address):
                    await bus.ping()
            assert SYSTEM_CLOCK.monotonic() - started < 2
            await server.start()
            assert await bus.get("k") == b"v"

    run(scenario())


def test_a_frozen_server_is_unavailable_within_the_deadline(private_server: Servers) -> None:
    """A server that takes bytes and answers nothing does not hang us, whether the connection is old or new; and a late
    reply is never taken for that of the next command."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.put("one", b"1")
            await bus.put("two", b"2")
            async with server.frozen():
                for _ in range(3):
                    started = SYSTEM_CLOCK.monotonic()
                    with pytest.raises(BusUnavailable):
                        await bus.call(raw(bus).get("one"), deadline_s=0.3)
                    assert 0.25 < SYSTEM_CLOCK.monotonic() - started < 1.5
            for _ in range(10):
                assert await bus.get("two") == b"2"

    run(scenario())


def test_a_refused_command_is_told_apart(redis_url: str) -> None:
    """A command that can never work is `BusRefused`, with the server's reason and address."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.put("k", b"v")
            with pytest.raises(BusRefused, match=rf"{bus.address}.*WRONGTYPE"):
                await bus.hash("k")
            with pytest.raises(BusRefused):
                await bus.run_script("this is no Lua", [], [])

    run(scenario())


def test_a_server_that_cannot_write_now_is_unavailable(private_server: Servers) -> None:
    """Missing replicas pass, unlike a wrong type: another try may help, alone and in a transaction."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await raw(bus).config_set("min-replicas-to-write", 1)
            with pytest.raises(BusUnavailable, match="NOREPLICAS"):
                await bus.put("k", b"v")
            with pytest.raises(BusUnavailable, match="NOREPLICAS"):
                await Publisher(bus).publish(DATA_JOBS.named("j-1"), cancel("a"))

    run(scenario())


@pytest.mark.parametrize("credentials", ["", ":wrong-password@", "user:wrong-password@"])
def test_wrong_credentials_are_a_matter_of_configuration(private_server: Servers, credentials: str) -> None:
    """A missing or wrong password ends the process with an error that names the server and never the password."""

    async def scenario() -> None:
        async with private_server() as server:
            async with Bus(server.url, client_name="test") as bus:
                await raw(bus).config_set("requirepass", "right-password")
            async with Bus(server.url.replace("://", f"://{credentials}"), client_name="test") as bus:
                with pytest.raises(ConfigurationError, match=f"127.0.0.1:{server.port}") as caught:
                    await bus.ping()
            assert "password@" not in _everything_said(caught.value)
            assert "wrong-password" not in _everything_said(caught.value)
            async with Bus(server.url.replace("://", "://:right-password@"), client_name="test") as bus:
                await bus.ping()

    run(scenario())


def _everything_said(error: BaseException | None) -> str:
    """The texts of an error and of all that stand behind it and would be logged."""
    said = ""
    while error is not None:
        said += f"{error!r} {error}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@host:6379/0",
        "redis://:hunter2@host:port/0",
        "redis://:hunter2@host:99999/0",
        "hunter2",
        "http://:hunter2@host/",
        "redis://:hunter2@[::1/0",
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    """An unreadable URL is a matter of configuration; its text, which may hold a password, is not repeated."""
    with pytest.raises(ConfigurationError, match="SA_REDIS__URL") as caught:
        Bus(url, client_name="test")
    assert "hunter2" not in _everything_said(caught.value)


@pytest.mark.parametrize("option", ["protocol=3", "socket_timeout=5", "retry_on_timeout=yes&max_connections=4"])
def test_a_url_cannot_undo_the_guarantees(option: str) -> None:
    """Options of redis-py in the URL would silently override ours; they are refused by name."""
    with pytest.raises(ConfigurationError, match=option.rpartition("&")[2].partition("=")[0]) as caught:
        Bus(f"redis://:hunter2@host:6379/0?{option}", client_name="test")
    assert "hunter2" not in str(caught.value)


def test_the_address_has_no_password() -> None:
    """What is logged about a server is its host and port, or its socket."""
    assert Bus("redis://user:hunter2@host:1234/0", client_name="test").address == "host:1234"
    assert Bus("redis://host", client_name="test").address == "host:6379"
    assert Bus("unix:///run/redis.sock", client_name="test").address == "/run/redis.sock"


@pytest.mark.parametrize("stream", [ORDER_REQUESTS, DATA_JOBS.named("1")], ids=lambda stream: stream.name)
def test_a_write_whose_reply_is_lost_is_not_repeated(redis_url: str, stream: Stream) -> None:
    """The caller is told that the outcome is unknown, and exactly one entry was written: nobody retried in silence."""

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            direct = await stack.enter_async_context(Bus(redis_url, client_name="direct"))
            proxy = await stack.enter_async_context(LossyProxy(redis_url))
            bus = await stack.enter_async_context(Bus(proxy.url, client_name="test"))
            await bus.ping()
            proxy.loses = b"XADD"
            with pytest.raises(BusUnavailable):
                await Publisher(bus).publish(stream, cancel("a"))
            assert proxy.lost == 1
            proxy.loses = None
            assert (await raw(direct).ttl(stream.name) > 0) == bool(stream.expires_s), "the expiry came with the entry"
            assert await raw(direct).xlen(stream.name) == 1
            await Publisher(bus).publish(stream, cancel("b"))
            assert await raw(direct).xlen(stream.name) == 2

    run(scenario())


def test_more_commands_than_connections_wait_for_their_turn(redis_url: str) -> None:
    """The pool is bounded and nobody fails because it is used up; the server sees no more connections than that."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="crowd") as bus:
            await asyncio.gather(*(bus.put(f"k{number}", b"v") for number in range(200)))
            clients = await raw(bus).client_list()
            assert 1 <= sum(client["name"] == "crowd" for client in clients) <= COMMAND_CONNECTIONS

    run(scenario())


def test_a_full_pool_ends_in_the_deadline(private_server: Servers) -> None:
    """While all connections hang, one more command is `BusUnavailable` in time and not stuck behind them."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            async with server.frozen():
                started = SYSTEM_CLOCK.monotonic()
                calls = (bus.call(raw(bus).get("k"), deadline_s=0.5) for _ in range(3 * COMMAND_CONNECTIONS))
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                assert SYSTEM_CLOCK.monotonic() - started < 3
            assert {type(outcome) for outcome in outcomes} == {BusUnavailable}
            await asyncio.gather(*(bus.put(f"k{number}", b"v") for number in range(3 * COMMAND_CONNECTIONS)))

    run(scenario())


def test_a_blocked_reader_takes_no_connection_from_commands(redis_url: str) -> None:
    """Readers have connections of their own: many of them block, and commands still pass."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            readers = [bus.reader() for _ in range(COMMAND_CONNECTIONS + 4)]
            reads = [asyncio.ensure_future(raw(reader).xread({"nothing": "$"}, block=2000)) for reader in readers]
            await eventually(lambda: _blocked(bus, len(reads)), what="all readers to block")
            await bus.put("k", b"v")
            assert not any(read.done() for read in reads)
            await raw(bus).xadd("nothing", {"a": "b"})
            await asyncio.gather(*reads)
            for reader in readers:
                await reader.close()

    run(scenario())


async def _blocked(bus: Bus, count: int) -> bool:
    return int((await raw(bus).info("clients"))["blocked_clients"]) >= count


def test_no_cancellation_is_lost(redis_url: str) -> None:
    """A task that does nothing but call is cancelled once, at any moment, and ends: 100 of 100, Python 3.11 included."""

    async def busy(bus: Bus) -> None:
        while True:
            await bus.get("k")

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            for number in range(100):
                task = asyncio.create_task(busy(bus))
                for _ in range(number * 7 % 53):
                    await SYSTEM_CLOCK.sleep(0)
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=2)
                assert done, f"cancellation {number} was lost"
                assert task.cancelled()

    run(scenario())


def test_cancelled_calls_neither_leak_connections_nor_mix_up_replies(redis_url: str) -> None:
    """However many calls are cancelled in a crowd, all connections come back, and each reply goes to its own question."""

    async def ask(bus: Bus, number: int) -> None:
        while True:
            assert await bus.get(f"k{number}") == str(number).encode()

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            for number in range(48):
                await bus.put(f"k{number}", str(number).encode())
            for turn in range(10):
                crowd = [asyncio.create_task(ask(bus, number)) for number in range(48)]
                for _ in range(turn * 11 % 37):
                    await SYSTEM_CLOCK.sleep(0)
                for task in crowd:
                    task.cancel()
                outcomes = await asyncio.gather(*crowd, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
            async with asyncio.timeout(5):
                await _all_connections_at_once(bus)

    run(scenario())


async def _all_connections_at_once(bus: Bus) -> None:
    pool = raw(bus).connection_pool
    connections = [await pool.get_connection() for _ in range(COMMAND_CONNECTIONS)]
    for connection in connections:
        await pool.release(connection)


def test_a_full_memory_passes(private_server: Callable[[], KillableServer]) -> None:
    """Out of memory is unavailable, in every form in which redis-py tells it: what was to be written is tried again."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.call(bus.redis.config_set("maxmemory", "1"))
            pipeline = bus.redis.pipeline(transaction=True)
            pipeline.set("key", "value")
            for write in (
                bus.put("key", b"value"),
                bus.run_script("return redis.call('SET', KEYS[1], 'value')", ["key"], []),
                bus.call(pipeline.execute()),
            ):
                with pytest.raises(BusUnavailable):
                    await write

    run(scenario())


COUNT_UP = """
redis.call('INCRBY', KEYS[1], ARGV[1])
return {tonumber(redis.call('GET', KEYS[1])), ARGV[2]}
"""


async def _calls(bus: Bus, command: str) -> int:
    """How often the server has run a command."""
    stats: dict[str, dict[str, int]] = await bus.call(bus.redis.info("commandstats"))
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


def test_a_script_is_sent_once_and_called_by_its_digest(redis_url: str) -> None:
    """Also after the server has forgotten it; each call counts once."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.call(bus.redis.script_flush())
            loaded = await _calls(bus, "script|load")
            for expected in (5, 10, 15):
                assert await bus.run_script(COUNT_UP, ["count"], [5, "x"]) == [expected, b"x"]
            assert await _calls(bus, "script|load") == loaded + 1
            await bus.call(bus.redis.script_flush())
            assert await bus.run_script(COUNT_UP, ["count"], [5, b"y"]) == [20, b"y"]
            assert await _calls(bus, "script|load") == loaded + 2

    run(scenario())


def test_a_script_that_is_refused_says_so(redis_url: str) -> None:
    """And is not taken for one that the server does not know."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.call(bus.redis.rpush("count", "a"))
            for _ in range(2):
                with pytest.raises(BusRefused, match="WRONGTYPE"):
                    await bus.run_script(COUNT_UP, ["count"], [5, "x"])

    run(scenario())


def test_a_durable_script_survives_a_kill_and_is_found_again_by_its_text(private_server: Servers) -> None:
    """Killed right after it returned; the server that comes back knows the value and not the script."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            assert await bus.is_durable()
            for expected in (5, 10):
                assert await bus.run_script_durably(COUNT_UP, ["count"], [5, "x"]) == [expected, b"x"]
                await server.kill()
                await server.start()
            assert await bus.get("count") == b"10"
            await bus.call(bus.redis.script_flush())
            assert await bus.run_script_durably(COUNT_UP, ["count"], [5, "x"]) == [15, b"x"]

    run(scenario())


def test_a_durable_script_that_does_not_reach_the_disk_is_unavailable(private_server: Servers) -> None:
    """Without an append-only file nobody can promise anything, and the server is known not to be durable."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.call(bus.redis.config_set("appendonly", "no"))
            assert not await bus.is_durable()
            with pytest.raises((BusUnavailable, BusRefused)):
                await bus.run_script_durably(COUNT_UP, ["count"], [5, "x"])
            await bus.call(bus.redis.config_set("appendonly", "yes"))
            assert await bus.is_durable()
            await server.kill()  # asked to end, it would first write the new file to its end, for ten seconds

    run(scenario())


def test_one_field_of_many_hashes_in_one_round_trip(redis_url: str) -> None:
    """In the order of the question; None where there is no such hash or field; nothing for nothing."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            for number in range(50):
                await bus.set_fields(f"h{number}", {"a": str(number).encode(), "b": b"x"})
            assert await bus.field_of_each([f"h{number}" for number in (49, 0, 7)], "a") == [b"49", b"0", b"7"]
            assert await bus.field_of_each(["h1", "nobody"], "c") == [None, None]
            assert await bus.field_of_each([], "a") == []
            await bus.put("text", b"no hash")
            with pytest.raises(BusRefused, match="WRONGTYPE"):
                await bus.field_of_each(["h1", "text"], "a")

    run(scenario())
