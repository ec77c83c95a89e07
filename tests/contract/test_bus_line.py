"""`Bus.ask` and scripts go over a line of their own: an answer is always the answer to the command, whatever happens between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusRefused, BusUnavailable
from ibstream.runtime.clock import SYSTEM_CLOCK

Servers = Callable[[], KillableServer]


def test_a_command_is_answered_as_the_server_answers(redis_url: str) -> None:
    """Nested lists, numbers, bytes and nothing come as they are."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            assert await bus.ask("XADD", "s", "1-1", "k", b"\xff") == b"1-1"
            assert await bus.ask("XRANGE", "s", "-", "+") == [[b"1-1", [b"k", b"\xff"]]]
            assert await bus.ask("XLEN", "s") == 1
            assert await bus.ask("GET", "nothing") is None

    run(scenario())


def test_a_refused_command_does_not_spoil_the_next(redis_url: str) -> None:
    """An error is raised as a refusal; the same connection then answers the next command with its own answer."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.put("k", b"v")
            mine = await bus.ask("CLIENT", "ID")
            with pytest.raises(BusRefused, match="WRONGTYPE"):
                await bus.ask("XLEN", "k")
            with pytest.raises(BusRefused, match="no such thing"):
                await bus.run_script("return redis.error_reply('no such thing')", [], [])
            assert await bus.ask("GET", "k") == b"v"
            assert await bus.ask("CLIENT", "ID") == mine

    run(scenario())


def test_a_line_that_the_server_has_closed_is_made_anew(redis_url: str) -> None:
    """A command after that is not lost and raises nothing: it was not sent on the dead connection."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            first = await bus.ask("CLIENT", "ID")
            await bus.call(bus.redis.client_kill_filter(_id=str(first)))

            async def answers_anew() -> bool:
                return bool(await bus.ask("CLIENT", "ID") != first)

            await eventually(answers_anew, what="another connection")

    run(scenario())


def test_a_cancelled_command_leaves_no_answer_behind(redis_url: str) -> None:
    """Whoever asks next on the same line gets their own answer, however far the cancelled one had come."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            for number in range(100):
                asking = asyncio.create_task(bus.ask("ECHO", f"cancelled {number}"))
                for _ in range(number % 10):
                    await SYSTEM_CLOCK.sleep(0)
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking
                assert await bus.ask("ECHO", f"{number}") == f"{number}".encode()

    run(scenario())


def test_callers_take_turns(redis_url: str) -> None:
    """Many at once on one line: each gets its own answer."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            answers = await asyncio.gather(*(bus.ask("ECHO", str(number)) for number in range(200)))
            assert answers == [str(number).encode() for number in range(200)]

    run(scenario())


def test_waiting_for_the_turn_counts_towards_the_deadline(private_server: Servers) -> None:
    """Behind a command that a frozen server does not answer, others end in their own deadline; and all is well after it."""

    async def scenario() -> None:
        server = private_server()
        await server.start()
        async with Bus(server.url, client_name="test") as bus:
            await bus.ask("PING")
            async with server.frozen():
                results = await asyncio.gather(
                    *(bus.ask("ECHO", "x", deadline_s=0.3) for _ in range(3)), return_exceptions=True
                )
                assert [type(one) for one in results] == [BusUnavailable] * 3
            assert await bus.ask("ECHO", "after") == b"after"

    run(scenario())
