"""Faults of the connection, each seen on the wire by a bare socket. `test_every_verb_has_a_test_on_the_wire` counts them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from contract.wire_client import AAPL, Peer, hello, logged_in, peer, start_api, subscribe
from support import eventually, free_port, run

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock, ManualClock
from ibstream_gateway_emulator.control.handle import CommandError, GatewayControl
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SETTINGS = EmulatorSettings(symbols=("AAPL", "MSFT"), port=0, tick_interval_ms=10, limits=Limits.lifted())
TIME = frame(("17", "1"))
"""reqManagedAccts, answered by 15: the quickest proof that a connection works."""


@contextlib.asynccontextmanager
async def commanded(
    settings: EmulatorSettings = SETTINGS, clock: Clock = SYSTEM_CLOCK
) -> AsyncIterator[tuple[GatewayServer, GatewayControl]]:
    async with running_gateway(settings, clock=clock) as gateway:
        yield gateway, GatewayControl(gateway.state)


@contextlib.asynccontextmanager
async def settled(gateway: GatewayServer, client_id: int = 1) -> AsyncIterator[Peer]:
    """A client that has heard all there is to hear at the start."""
    async with logged_in(gateway, client_id) as client:
        assert await answers(client)
        yield client


async def answers(client: Peer) -> bool:
    client.writer.write(TIME)
    return (await client.receive_until("15"))[0] == "15"


async def is_silent(client: Peer, for_s: float = 0.15) -> bool:
    """Whether not a byte comes for a while, whatever the client says."""
    client.writer.write(TIME)
    try:
        async with asyncio.timeout(for_s):
            return not await client.reader.read(1)
    except TimeoutError:
        return True


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def open_again(port: int) -> bool:
    return not await refused(port)


def test_refuse_connects_leaves_who_is_connected_and_gives_the_port_back() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            await control.refuse_connects()
            assert await refused(gateway.port)
            assert await answers(client)
            port = gateway.port
            await control.clear(fault="refuse_connects")
            await eventually(lambda: open_again(port), what="the port to be open")

    run(scenario())


def test_refuse_connects_ends_by_itself() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control):
            await control.refuse_connects(for_s=0.1)
            assert await refused(gateway.port)
            await eventually(lambda: open_again(gateway.port), what="the port to be open")

    run(scenario())


def test_accept_silently_never_says_a_byte() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as before:
            await control.accept_silently()
            async with peer(gateway, hello() + start_api(2)) as client:
                assert await is_silent(client)
                assert gateway.state.clients.keys() == {1}
                await control.clear()
                assert await is_silent(client)
            assert await answers(before)
            async with settled(gateway, 2) as later:
                assert await answers(later)

    run(scenario())


def test_silent_after_handshake_tells_the_version_and_nothing_else() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control):
            await control.silent_after_handshake(client_id=2)
            async with peer(gateway, hello() + start_api(2)) as client:
                assert (await client.receive())[0] == "178"
                assert await is_silent(client)
            async with settled(gateway, 3) as other:
                assert await answers(other)

    run(scenario())


def test_drop_connection_abortively_is_a_reset_for_that_client_alone() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as dropped, settled(gateway, 2) as other:
            await control.drop_connection(client_id=1)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await dropped.receive_until("never")
            await eventually(lambda: gateway.state.clients.keys() == {2}, what="the end of client 1")
            assert await answers(other)

    run(scenario())


def test_drop_connection_cleanly_ends_all_after_what_was_said() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as one, peer(gateway, hello()) as unnamed:
            await unnamed.receive()
            await control.drop_connection(abortive=False)
            assert await one.is_hung_up_on()
            assert await unnamed.is_hung_up_on()

    run(scenario())


def test_half_open_hears_and_says_nothing_while_the_socket_stays() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as dead, settled(gateway, 2) as other:
            await control.half_open(client_id=1)
            assert await is_silent(dead)
            assert await answers(other)
            async with settled(gateway, 1) as again:
                assert await answers(again)
            await control.clear(fault="half_open")
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await dead.receive_until("never")

    run(scenario())


def test_half_open_stops_the_ticks_too() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.half_open()
            await eventually(lambda: is_silent(client), what="the last tick on its way")

    run(scenario())


def test_delay_and_split_writes_hold_for_ticks_too() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.delay(ms=30)
            await control.split_writes(size=7)
            for _ in range(5):
                assert (await client.receive_until("1"))[2] == "3"
            await control.clear()
            assert await answers(client)

    run(scenario())


def test_half_open_may_keep_the_client_id_in_use() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control):
            async with settled(gateway, 1) as dead:
                await control.half_open(client_id=1, keeps_client_id=True)
                assert await is_silent(dead)
            async with peer(gateway, hello() + start_api(1)) as refused_client:
                assert (await refused_client.receive_until("4"))[3] == "326"
            await control.clear()
            async with settled(gateway, 1) as again:
                assert await answers(again)

    run(scenario())


def test_freeze_holds_everything_back_and_then_goes_on() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as frozen, settled(gateway, 2) as other:
            await control.freeze(client_id=1)
            assert await is_silent(frozen)
            assert await answers(other)
            await control.clear(fault="freeze")
            assert (await frozen.receive_until("15"))[0] == "15"

    run(scenario())


def test_freeze_of_all_ends_after_its_time_and_leaves_ticks_out() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as client:
            client.writer.write(subscribe(3))
            await client.receive_until("1")
            await control.freeze(for_s=0.3)
            assert gateway.state.clients[1].outlet.is_congested
            async with peer(gateway, hello() + start_api(2)) as late:
                assert (await late.receive_until("9"))[0] == "9"
            await client.receive_until("1")

    run(scenario())


def test_delay_holds_back_in_order_at_least_its_time() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            await control.delay(ms=120, jitter_ms=40)
            began = SYSTEM_CLOCK.monotonic()
            client.writer.write(frame(("17", "1")) + frame(("49", "1")) + frame(("61", "1")))
            heard = [(await client.receive())[0] for _ in range(3)]
            assert heard == ["15", "49", "62"]
            assert 0.12 <= SYSTEM_CLOCK.monotonic() - began < 2.0
            await control.clear()
            assert await answers(client)

    run(scenario())


def test_delay_of_what_comes_in_keeps_the_order_and_the_seed_its_jitter() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))

    async def scenario() -> list[float]:
        async with commanded(clock=clock) as (gateway, control), settled(gateway) as client:
            await control.delay(ms=100, jitter_ms=50, direction="in")
            faults = gateway.state.faults
            drawn = [faults.delay_s(1, incoming=True) for _ in range(3)]
            assert faults.delay_s(1, incoming=False) == 0
            client.writer.write(TIME)
            assert await is_silent(client)
            await eventually(lambda: any(0 < one <= 0.15 for one in clock.sleeps), what="the message to be held")
            clock.advance(0.2)
            assert (await client.receive_until("15"))[0] == "15"
            return drawn

    first, second = run(scenario()), run(scenario())
    assert first == second
    assert len(set(first)) == 3
    assert all(0.1 <= one <= 0.15 for one in first)


def test_split_writes_sends_every_byte_alone() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            await control.split_writes(size=1, gap_ms=1)
            client.writer.write(TIME)
            pieces = [await client.reader.read(4096) for _ in range(4)]
            assert all(len(piece) < 8 for piece in pieces)
            length = int.from_bytes(b"".join(pieces)[:4])
            rest = await client.reader.readexactly(4 + length - len(b"".join(pieces)))
            assert (b"".join(pieces) + rest)[4:].split(b"\0")[0] == b"15"

    run(scenario())


def test_reset_port_tells_1300_and_listens_there() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            before, after = gateway.port, free_port()
            await control.reset_port(port=after)
            while (said := await client.receive_until("4"))[3] != "1300":
                pass
            assert str(after) in said[4]
            assert await client.is_hung_up_on()
            await eventually(lambda: gateway.port == after, what="the new port")
            assert await refused(before)
            async with settled(gateway) as again:
                assert await answers(again)

    run(scenario())


def test_reset_port_to_one_that_is_taken_is_refused_and_changes_nothing() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), commanded() as (other, _), settled(gateway) as client:
            with pytest.raises(CommandError, match="the port is in use"):
                await control.reset_port(port=other.port)
            assert await answers(client)
            assert not await refused(gateway.port)

    run(scenario())


def test_restart_keeps_what_ibkr_knows_and_may_roll_ids_back() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control):
            async with settled(gateway) as client:
                client.writer.write(frame(("8", "1", "5")))
                assert (await client.receive_until("9"))[2] == "6"
                await control.restart(down_s=0.2, roll_back_order_ids=3)
                assert await client.is_hung_up_on()
            await eventually(lambda: refused(gateway.port), what="the port to be closed")
            await eventually(lambda: open_again(gateway.port), what="the port to be open again")
            async with peer(gateway, hello() + start_api(1)) as again:
                assert (await again.receive_until("9"))[2] == "3"

    run(scenario())


def test_restart_loses_what_is_sent_just_before() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            await control.restart(deaf_s=0.2, down_s=0)
            assert await is_silent(client, 0.1)
            assert await client.is_hung_up_on()

    run(scenario())


def test_nightly_restart_comes_at_its_time_of_day_every_day() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 4, 44, 50, tzinfo=UTC))  # 23:44:50 in New York

    async def until(gateway: GatewayServer, *, listening: bool, step_s: float) -> None:
        def moved() -> bool:
            clock.advance(step_s)
            return gateway.is_listening is listening

        await eventually(moved, what=f"listening to be {listening}")

    async def scenario() -> None:
        async with commanded(clock=clock) as (gateway, control):
            await control.nightly_restart(at="23:45", down_s=5)
            for _ in range(2):
                async with settled(gateway) as client:
                    await until(gateway, listening=False, step_s=1)
                    assert await client.is_hung_up_on()
                assert clock.now().time().minute == 45
                await until(gateway, listening=True, step_s=1)
                clock.advance(timedelta(hours=23, minutes=59, seconds=30).total_seconds())
                await eventually(lambda: gateway.state.stepped_ns == gateway.state.now_ns(), what="a tick")

    run(scenario())


def test_omit_ends_leaves_the_list_without_its_end() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            await control.omit_ends(ends=("PositionEnd",), count=1)
            client.writer.write(frame(("61", "1")) + frame(("16", "1")) + frame(("61", "1")) + TIME)
            heard = []
            while "15" not in heard:
                heard.append((await client.receive())[0])
            assert heard.count("62") == 1
            assert heard.count("53") == 1

    run(scenario())


def test_clear_ends_what_is_in_force_and_tells_what_there_was() -> None:
    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway) as client:
            await control.delay(ms=50)
            await control.freeze()
            assert {one.verb["verb"] for one in (await control.faults()).in_force} == {"delay", "freeze"}
            await control.clear()
            assert not (await control.faults()).in_force
            assert await answers(client)
            history = (await control.faults()).history
            assert [(one.verb["verb"], one.ended) for one in history] == [
                ("delay", False), ("freeze", False), ("clear", False), ("delay", True), ("freeze", True)
            ]  # fmt: skip

    run(scenario())


def test_one_client_too_many_is_turned_away_and_lets_the_others_be() -> None:
    """The text of the error is ours: none of a real Gateway is known."""
    settings = msgspec.structs.replace(SETTINGS, limits=Limits(clients=2))

    async def scenario() -> None:
        async with commanded(settings) as (gateway, _), settled(gateway, 1) as one, settled(gateway, 2):
            async with peer(gateway, hello() + start_api(3)) as third:
                said = await third.receive_until("4")
                assert said[3] == "326"
                assert await third.is_hung_up_on()
            assert await answers(one)

    run(scenario())


def test_the_third_message_too_many_in_a_second_ends_the_connection() -> None:
    """As IBKR documents: error 100 each time, and the session is ended with the third."""
    clock = ManualClock(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
    settings = msgspec.structs.replace(SETTINGS, limits=Limits())

    async def scenario() -> None:
        async with commanded(settings, clock) as (gateway, _), settled(gateway) as client:
            clock.advance(1.0)
            client.writer.write(TIME * 51)
            for _ in range(50):
                await client.receive_until("15")
            assert (await client.receive_until("4"))[3:5] == [
                "100", "Max rate of messages per second has been exceeded:max=50 rec=51 (1)"
            ]  # fmt: skip
            clock.advance(1.0)
            assert await answers(client)
            client.writer.write(TIME * 51)
            assert (await client.receive_until("4"))[4].endswith("(2)")
            assert (await client.receive_until("4"))[4].endswith("(3)")
            assert await client.is_hung_up_on()

    run(scenario())


def test_fifty_messages_a_second_go_on_for_ever() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
    settings = msgspec.structs.replace(SETTINGS, limits=Limits())

    async def scenario() -> None:
        async with commanded(settings, clock) as (gateway, _), settled(gateway) as client:
            for _ in range(5):
                clock.advance(1.0)
                client.writer.write(TIME * 50)
                for _ in range(50):
                    assert (await client.receive())[0] == "15"

    run(scenario())


def test_a_client_that_is_held_up_beyond_all_bounds_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibstream_gateway_emulator.connection.UNREAD_BYTES_MAX", 10_000)

    async def scenario() -> None:
        async with commanded() as (gateway, control), settled(gateway, 1) as held, settled(gateway, 2) as other:
            await control.delay(ms=60_000, client_id=1)
            details = frame(("9", "8", "5", *AAPL, "0", "", "", ""))
            held.writer.write(details * 100)
            await eventually(lambda: gateway.state.clients.keys() == {2}, what="the end of client 1")
            assert await answers(other)

    run(scenario())
