"""What only a Gateway can do to the broker's connection: be away, be silent, be someone else's, freeze, come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from contract.brokers import CLIENT_ID, Desk, resting, submit, trading
from contract.gateways import SYMBOLS, settings_for, standing_in
from support import eventually, free_port, run
from system import Process

from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import ClientIdInUse, GatewayUnavailable
from ibstream.ibkr.pacing import WINDOW_S
from ibstream.ibkr.probe import probe
from ibstream.runtime.clock import SYSTEM_CLOCK, SystemClock
from ibstream.runtime.connection import Trigger
from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.settings import Settings
from ibstream_broker.adapters.ibkr import RECONNECT_DELAYS_S, IBKRBrokerAdapter
from ibstream_broker.domain.inputs import StatusReported
from ibstream_broker.ports import Placement
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

QUICKLY_S = 2.0
"""Well under the connect timeout of `settings_for`, which is 5 s."""


class ImpatientClock(SystemClock):
    """Never sleeps; remembers how long it should have."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        """Return at once."""
        self.sleeps.append(delay_s)
        await super().sleep(0)


def with_(settings: Settings, **changes: object) -> Settings:
    """The settings with other values for the connection, or for the broker where it has such a setting."""
    of_broker = {name: changes.pop(name) for name in list(changes) if hasattr(settings.broker, name)}
    ibkr = settings.broker.ibkr.model_copy(update=changes)
    return settings.model_copy(update={"broker": settings.broker.model_copy(update={"ibkr": ibkr, **of_broker})})


def adapter(settings: Settings) -> IBKRBrokerAdapter:
    return IBKRBrokerAdapter(settings, clock=SYSTEM_CLOCK)


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Fail if the block takes longer, whatever it raises."""
    started = SYSTEM_CLOCK.monotonic()
    yield
    assert SYSTEM_CLOCK.monotonic() - started < seconds


@contextlib.asynccontextmanager
async def listening(answer: str) -> AsyncIterator[int]:
    """The port of a server that is no Gateway: it takes connections and is `silent`, or `closes` them."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if answer == "closes":
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def test_without_a_gateway_a_connect_fails_quickly() -> None:
    """And says where it looked."""

    async def scenario() -> None:
        port = free_port()
        broker = adapter(settings_for(port))
        async with within(QUICKLY_S):
            with pytest.raises(GatewayUnavailable, match=f"127.0.0.1:{port}.*refused"):
                await broker.connect(CLIENT_ID)
        assert await broker.health_check() is False
        await broker.close()

    run(scenario())


def test_a_forwarder_without_a_gateway_behind_it_is_found_quickly() -> None:
    """The common container's port accepts and closes; nobody waits the connect timeout for it."""

    async def scenario() -> None:
        async with listening("closes") as port, within(QUICKLY_S):
            broker = adapter(settings_for(port))
            for _ in range(2):
                with pytest.raises(GatewayUnavailable, match="closed before the API handshake"):
                    await broker.connect(CLIENT_ID)

    run(scenario())


def test_a_gateway_that_waits_for_its_login_is_given_up_at_the_connect_timeout() -> None:
    """It accepts and stays silent; not before, not much later."""

    async def scenario() -> None:
        async with listening("silent") as port, within(3.0):
            broker = adapter(with_(settings_for(port), connect_timeout_s=0.5))
            started = SYSTEM_CLOCK.monotonic()
            with pytest.raises(GatewayUnavailable, match="no answer"):
                await broker.connect(CLIENT_ID)
            assert SYSTEM_CLOCK.monotonic() - started >= 0.5

    run(scenario())


def test_a_client_id_in_use_is_told_at_once_and_is_ours_when_it_is_free() -> None:
    """326: never answered with another id."""

    async def scenario() -> None:
        async with standing_in() as settings:
            first, second = adapter(settings), adapter(settings)
            await first.connect(CLIENT_ID)
            for _ in range(2):
                async with within(QUICKLY_S):
                    with pytest.raises(ClientIdInUse, match=f"client id {CLIENT_ID} is in use"):
                        await second.connect(CLIENT_ID)
            assert await first.health_check()
            await first.close()
            await connects(second)
            assert await second.health_check()
            await second.close()

    run(scenario())


async def connects(broker: IBKRBrokerAdapter) -> None:
    """Connect as soon as the Gateway has noticed that the former socket is gone."""

    async def connected() -> bool:
        try:
            await broker.connect(CLIENT_ID)
        except GatewayUnavailable:
            return False
        return True

    await eventually(connected, within_s=5, what="a session")


@pytest.mark.parametrize(
    ("account", "changes", "setting"),
    [
        ("U1234567", {}, "SA_BROKER__PAPER_TRADING"),
        ("DU9000001", {"paper_trading": False, "confirm_live": "U1234567"}, "SA_BROKER__PAPER_TRADING=true"),
        ("U1234567", {"paper_trading": False, "confirm_live": "U7"}, "SA_BROKER__CONFIRM_LIVE=U1234567"),
        ("DU9000001", {"account_id": "DU5"}, "SA_BROKER__IBKR__ACCOUNT_ID"),
    ],
)
def test_the_wrong_kind_of_account_ends_the_process_and_names_the_setting(
    account: str, changes: dict[str, object], setting: str
) -> None:
    """Paper money and real money are never mixed up; and the Gateway's client id is free again."""

    async def scenario() -> None:
        async with running_gateway(EmulatorSettings(symbols=SYMBOLS, port=0, account=account)) as gateway:
            broker = adapter(with_(settings_for(gateway.port), **changes))
            with pytest.raises(ConfigurationError, match=setting):
                await broker.connect(CLIENT_ID)
            assert await broker.health_check() is False
            await eventually(lambda: not gateway.state.clients, what="the client gone")

    run(scenario())


def test_the_gateways_end_is_the_sessions_last_event() -> None:
    """At once, and whatever is under way fails."""

    async def scenario() -> None:
        async with (
            running_gateway(EmulatorSettings(symbols=SYMBOLS, port=0)) as gateway,
            trading(adapter(settings_for(gateway.port))) as desk,
        ):
            await gateway.stop()
            async with asyncio.timeout(QUICKLY_S):
                assert (await desk.port.next_event()).trigger is Trigger.LOST
            assert await desk.port.health_check() is False
            with pytest.raises(ConnectionError):
                desk.port.next_order_id(1)

    run(scenario())


@pytest.mark.parametrize("operation", ["terms", "place", "modify", "cancel", "what_if", "snapshot", "positions"])
def test_every_operation_makes_a_session_first_with_three_tries_after_2_4_and_8_s(operation: str) -> None:
    """Then it is a `ConnectionError`, and nothing was sent."""

    async def scenario() -> None:
        clock = ImpatientClock()
        broker = IBKRBrokerAdapter(settings_for(free_port()), clock=clock)
        with pytest.raises(ConnectionError):
            await broker.connect(CLIENT_ID)
        placement = Placement(order_id=1, request=submit("a"), account="DU1")
        calls = {
            "terms": lambda: broker.terms(Instrument(symbol="AAPL")),
            "place": lambda: broker.place(placement, session=0),
            "modify": lambda: broker.modify(placement, session=broker.session),
            "cancel": lambda: broker.cancel(1, session=broker.session),
            "what_if": lambda: broker.what_if(placement, sent=lambda: None),
            "snapshot": broker.snapshot,
            "positions": broker.positions,
        }
        with pytest.raises(ConnectionError, match="after 3 tries"):
            await calls[operation]()
        assert clock.sleeps == list(RECONNECT_DELAYS_S) == [2.0, 4.0, 8.0]

    run(scenario())


def test_an_operation_goes_on_in_the_session_that_it_has_made() -> None:
    """One connect is under way at a time, whoever asks; an order of the former session is not sent in the new one."""

    async def scenario() -> None:
        async with standing_in() as settings:
            clock = ImpatientClock()
            broker = IBKRBrokerAdapter(with_(settings, probe_interval_s=300), clock=clock)
            desk = Desk(broker)
            await broker.connect(CLIENT_ID)
            await broker.close()
            answers = await asyncio.gather(*(broker.terms(Instrument(symbol="AAPL")) for _ in range(5)))
            assert len(answers) == 5
            assert broker.session == 2
            await broker.close()
            late = Placement(order_id=1, request=submit("late"), account=broker.account)
            with pytest.raises(ConnectionError, match="has ended"):
                await broker.place(late, session=2)
            assert broker.session == 3
            assert (await broker.snapshot()).executions == []
            assert not any(isinstance(one, StatusReported) for one in desk.heard)
            await broker.close()

    run(scenario())


def test_a_gateway_that_freezes_is_found_by_the_probe(tmp_path: Path) -> None:
    """Its kernel still answers TCP; the question for the time is not answered within interval and timeout."""

    async def scenario() -> None:
        port = free_port()
        arguments = ("ibstream_gateway_emulator", "--port", str(port), "--seed", "7")
        gateway = await Process(tmp_path / "gateway.log", *arguments, environment=os.environ).start()
        try:
            await eventually(lambda: _answers(port), within_s=20, what="the Gateway")
            settings = with_(settings_for(port), probe_interval_s=1.1, probe_timeout_s=0.5)
            async with trading(adapter(settings)) as desk:
                assert await desk.port.health_check()
                os.kill(gateway.pid, signal.SIGSTOP)
                async with within(1.1 + 0.5 + 1.0):
                    event = await desk.port.next_event()
                assert event.trigger is Trigger.LOST
                assert "does not answer" in event.reason
                assert await desk.port.health_check() is False
                os.kill(gateway.pid, signal.SIGCONT)
                await desk.port.close()
                await connects(desk.port)  # type: ignore[arg-type]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(gateway.pid, signal.SIGCONT)
            await gateway.stop()

    run(scenario())


def test_health_checks_in_a_row_are_all_answered() -> None:
    """A Gateway ignores a question for the time within a second of its last answer: the next one waits its turn."""

    async def scenario() -> None:
        async with standing_in() as settings, trading(adapter(with_(settings, probe_timeout_s=0.3))) as desk:
            assert await asyncio.gather(*(desk.port.health_check() for _ in range(3))) == [True] * 3
            assert await desk.port.health_check(), "the session's own probes were answered meanwhile, too"

    run(scenario())


async def _answers(port: int) -> bool:
    return (await probe("127.0.0.1", port, timeout_s=1)).ok


def test_orders_beyond_the_limit_wait_for_room_and_not_in_the_clients_queue() -> None:
    """There they would go out after their time, or be dropped with the session; the session stays healthy meanwhile."""

    async def scenario() -> None:
        async with standing_in() as settings, trading(adapter(with_(settings, requests_per_s=5))) as desk:
            port = desk.port
            await port.terms(Instrument(symbol="AAPL"))
            client = port._session.ib.client  # type: ignore[attr-defined]
            await eventually(lambda: not client._msgQ, what="an empty queue")
            started = SYSTEM_CLOCK.monotonic()
            for number in range(12):
                await port.room()
                request = resting(f"o-{number}")
                placement = Placement(order_id=port.next_order_id(1), request=request, account=port.account)
                await port.place(placement, session=port.session)
                assert not client._msgQ, "the order waits where nobody can call it back"
            assert SYSTEM_CLOCK.monotonic() - started >= WINDOW_S
            assert await port.health_check()
            assert len((await port.snapshot()).open_orders) == 12

    run(scenario())


def test_an_order_survives_the_gateways_restart_under_the_same_reference() -> None:
    """A new session of the same client id finds it, and can cancel it."""

    async def scenario() -> None:
        settings = EmulatorSettings(symbols=SYMBOLS, port=0, tick_interval_ms=50)
        async with running_gateway(settings) as gateway, trading(adapter(settings_for(gateway.port))) as desk:
            order_id = await desk.place(resting("r-1"))
            await desk.status(order_id, "Submitted")
            await gateway.stop()
            assert (await desk.port.next_event()).trigger is Trigger.LOST
            await desk.port.close()
            again = GatewayServer(gateway.state, host="127.0.0.1", port=gateway.port)
            await again.start()
            try:
                await connects(desk.port)  # type: ignore[arg-type]
                [listed] = (await desk.port.snapshot()).open_orders
                assert (listed.order_ref, listed.order_id) == ("r-1", order_id)
                await desk.port.cancel(order_id, session=desk.port.session)
                await desk.status(order_id, "Cancelled")
            finally:
                await desk.port.close()
                await again.stop()

    run(scenario())


def test_prices_reach_the_gateway_as_they_were_written() -> None:
    """Through the client's floats, to the last digit of what an order may have."""

    async def scenario() -> None:
        prices = [Decimal("1.01"), Decimal("0.07"), Decimal("29.29"), Decimal("1.10")]
        async with standing_in() as settings, trading(adapter(settings)) as desk:
            for number, price in enumerate(prices):
                await desk.place(resting(f"p-{number}", limit_price=price))
            snapshot = await desk.port.snapshot()
            listed = {one.order_ref: one.limit_price for one in snapshot.open_orders}
            assert listed == {f"p-{number}": price for number, price in enumerate(prices)}

    run(scenario())
