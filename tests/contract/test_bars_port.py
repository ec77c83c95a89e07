"""One suite for every source of bars: the simulated market, and a Gateway on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import pytest
from contract.gateways import SYMBOLS, settings_for, standing_in
from support import free_port, run

from ibstream.contracts.data import BarsRequest, FailureReason
from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream_data.adapters.ibkr import IBKRDataAdapter
from ibstream_data.adapters.simulated import SimulatedBars
from ibstream_data.ports import BarsPort, BarsRefused

CLIENT_ID = 2
SEED = 7
FRIDAY_NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)

Source = Callable[[], AbstractAsyncContextManager[BarsPort]]


@contextlib.asynccontextmanager
async def simulated() -> AsyncIterator[BarsPort]:
    port = SimulatedBars(Market(SEED), InstrumentMaster(SYMBOLS), clock=SYSTEM_CLOCK)
    await port.connect(CLIENT_ID)
    yield port
    await port.close()


@contextlib.asynccontextmanager
async def gateway() -> AsyncIterator[BarsPort]:
    async with standing_in() as settings:
        port = IBKRDataAdapter(settings, clock=SYSTEM_CLOCK)
        await port.connect(CLIENT_ID)
        yield port
        await port.close()


SOURCES = pytest.mark.parametrize("source", [simulated, gateway])


def request(symbol: str = "AAPL", **details: object) -> BarsRequest:
    told = {"bar_size": "5 mins", "duration": "1 D", "end": FRIDAY_NOON, **details}
    return BarsRequest(job_id="job", instrument=Instrument(symbol=symbol), requested_at=SYSTEM_CLOCK.now(), **told)  # type: ignore[arg-type]


@SOURCES
def test_bars_come_oldest_first_on_their_grid_in_utc(source: Source) -> None:
    """A Friday until noon in New York: 30 bars of five minutes from 09:30, high and low around open and close."""

    async def scenario() -> None:
        async with source() as port:
            bars = await port.bars(request())
        opening = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
        assert [bar.start for bar in bars] == [opening + timedelta(minutes=5 * number) for number in range(30)]
        assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
        assert all(bar.volume > 0 and bar.trades > 0 for bar in bars)

    run(scenario())


@SOURCES
def test_daily_bars_are_stamped_with_their_date(source: Source) -> None:
    """A day's bar starts at midnight UTC of its date, whoever it comes from."""

    async def scenario() -> None:
        async with source() as port:
            bars = await port.bars(request(bar_size="1 day", duration="5 D"))
        assert bars[-1].start == datetime(2026, 11, 20, tzinfo=UTC)
        assert len(bars) == 5

    run(scenario())


@SOURCES
def test_an_unknown_symbol_is_refused_by_name(source: Source) -> None:
    """Never an empty answer."""

    async def scenario() -> None:
        async with source() as port:
            with pytest.raises(BarsRefused, match="NOPE") as refused:
                await port.bars(request("NOPE"))
        assert refused.value.reason is FailureReason.UNKNOWN_INSTRUMENT

    run(scenario())


def test_no_bars_is_an_answer() -> None:
    """IBKR says "no data" with an error code; for the requester it is zero bars, and no failure."""
    before_history_begins = datetime(1999, 11, 19, 17, 0, tzinfo=UTC)

    async def scenario() -> None:
        async with gateway() as port:
            assert await port.bars(request(end=before_history_begins)) == []

    run(scenario())


def test_a_request_that_ibkr_does_not_take_is_refused_at_once() -> None:
    """321, which ib_async takes for a warning and would wait on until its timeout."""

    async def scenario() -> None:
        async with gateway() as port:
            with pytest.raises(BarsRefused) as refused:
                await port.bars(request(duration="400 D"))
        assert (refused.value.reason, refused.value.code) == (FailureReason.INVALID_REQUEST, 321)

    run(scenario(), timeout_s=5)


def test_the_gateway_and_the_simulation_tell_the_same_bars() -> None:
    """With one seed they agree without talking to each other."""

    async def scenario() -> None:
        async with simulated() as here, gateway() as there:
            assert await here.bars(request()) == await there.bars(request())

    run(scenario())


def test_a_session_that_is_not_there_is_told_as_such() -> None:
    """Neither an empty answer nor a wait."""

    async def scenario() -> None:
        port = IBKRDataAdapter(settings_for(free_port()), clock=SYSTEM_CLOCK)
        with pytest.raises(GatewayUnavailable):
            await port.bars(request())

    run(scenario(), timeout_s=4)
