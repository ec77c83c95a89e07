"""Cards M-01 to M-19: sessions and instruments, for every source of market data."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from contract.market_data_sources import (
    AAPL,
    EVERY,
    EVERY_KIND,
    KINDS,
    MSFT,
    Source,
    connected,
    is_asked,
    listing_of,
    watching,
)
from support import run

from ibstream.calendar.text import liquid_hours, time_zone_id, trading_hours
from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import Side
from ibstream.ibkr import GatewayUnavailable
from ibstream.ibkr.contracts import AmbiguousInstrument, UnknownInstrument
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import Trigger
from ibstream_feed.adapters.simulated_contracts import trading_date

UNKNOWN = {
    "symbol": Instrument(symbol="NOPE"),
    "primary exchange": Instrument(symbol="AAPL", primary_exchange="ARCA"),
    "currency": Instrument(symbol="AAPL", currency="EUR"),
    "exchange": Instrument(symbol="AAPL", exchange="NYMEX"),
    "pair": Instrument(symbol="SEK", currency="NOK", security_type="CASH", exchange="IDEALPRO"),
    "past month": Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202003"),
    "root": Instrument(symbol="QQQQ", security_type="FUT", exchange="CME", expiry="203003"),
    "option day": msgspec.structs.replace(KINDS["option"], expiry="20200103"),
    "index exchange": Instrument(symbol="SPX", security_type="IND"),
    "combo": Instrument(
        symbol="AAPL",
        security_type="BAG",
        legs=(
            ComboLeg(instrument=Instrument(symbol="AAPL"), side=Side.BUY),
            ComboLeg(instrument=Instrument(symbol="MSFT"), side=Side.SELL),
        ),
    ),
}
AMBIGUOUS = {
    "future without a month": msgspec.structs.replace(KINDS["future"], expiry=""),
    "option without a right": msgspec.structs.replace(KINDS["option"], right=""),
}


@EVERY
def test_the_end_of_a_session_is_its_last_event(source: Source) -> None:
    """M-01: told to whoever waits; closing again is nothing, and the account is named."""

    async def scenario() -> None:
        async with watching(source) as watch:
            assert watch.port.account
            await watch.port.close()
            await watch.port.close()
            assert (await watch.port.next_event()).trigger is Trigger.LOST

    run(scenario())


@EVERY
def test_without_a_session_nothing_can_be_asked(source: Source) -> None:
    """M-02: before the first and after the last; what is taken back needs none."""

    async def scenario() -> None:
        async with source() as ports:
            watch = ports()
            with pytest.raises(GatewayUnavailable):
                await watch.port.qualify(AAPL)
            async with connected(watch):
                contract = await watch.qualify(AAPL)
            line = watch.line(MSFT)
            with pytest.raises(GatewayUnavailable):
                await watch.port.qualify(MSFT)
            with pytest.raises(GatewayUnavailable):
                await watch.port.subscribe(line, contract)
            with pytest.raises(GatewayUnavailable):
                await watch.port.snapshot(line, contract)
            assert not line.is_gathering
            with pytest.raises(GatewayUnavailable):
                await watch.port.open_stream(DataKind.TICKS, contract, lambda _: None, lambda *_: None)
            await watch.port.unsubscribe(line)
            await watch.port.close_stream(1)

    run(scenario())


@EVERY
def test_a_new_session_starts_clean(source: Source) -> None:
    """M-03: what the last one followed does not tick; asked for again, it does."""

    async def scenario() -> None:
        async with source() as ports:
            watch = ports()
            async with connected(watch):
                [before] = await watch.subscribe(AAPL)
                await watch.ticks(before)
            watch.reads.clear()
            async with connected(watch):
                [other] = await watch.subscribe(MSFT)
                await watch.ticks(other, times=3)
                assert watch.reads_of(before) == 0
                await watch.subscribe(AAPL)
                await watch.ticks(before)

    run(scenario())


@EVERY
def test_a_snapshot_ends_with_its_session(source: Source) -> None:
    """M-04: who waits is told, and the line is not incomplete for ever."""

    async def scenario() -> None:
        async with watching(source) as watch:
            contract, line = await watch.qualify(AAPL), watch.line(AAPL)
            asking = asyncio.create_task(watch.port.snapshot(line, contract))
            await is_asked(line)
            await watch.port.close()
            with pytest.raises(GatewayUnavailable):
                await asking
            assert not line.is_gathering

    run(scenario())


@EVERY
@EVERY_KIND
def test_every_kind_of_instrument_is_known_whole(source: Source, kind: str) -> None:
    """M-10: its id, where it is asked for, its names, its terms and its hours."""

    async def scenario() -> None:
        instrument, listing = KINDS[kind], listing_of(KINDS[kind])
        async with watching(source) as watch:
            found = await watch.qualify(instrument)
        assert found.instrument == instrument
        assert (found.con_id, found.exchange) == (listing.con_id, instrument.exchange)
        assert (found.primary_exchange, found.local_symbol) == (listing.primary_exchange, listing.local_symbol)
        assert (found.expiry, found.trading_class) == (listing.last_trade_date, listing.trading_class)
        assert found.multiplier == (f"{listing.multiplier:f}" if listing.last_trade_date else "")
        assert found.time_zone == time_zone_id(listing.hours)
        assert abs((SYSTEM_CLOCK.now() - found.qualified_at).total_seconds()) < 60

    run(scenario())


@EVERY
@EVERY_KIND
def test_hours_are_told_in_the_form_of_ibkr(source: Source, kind: str) -> None:
    """M-11: of the next days, the regular ones within all of them; the same from every source."""

    async def scenario() -> None:
        listing = listing_of(KINDS[kind])
        async with watching(source) as watch:
            days = {trading_date(listing.hours, SYSTEM_CLOCK.time_ns())}
            found = await watch.qualify(KINDS[kind])
            days.add(trading_date(listing.hours, SYSTEM_CLOCK.time_ns()))
        assert found.trading_hours in [trading_hours(listing.hours, day) for day in days]
        assert found.liquid_hours in [liquid_hours(listing.hours, day) for day in days]
        every, regular = found.trading_hours.split(";"), found.liquid_hours.split(";")
        assert len(every) == len(regular) >= 5
        assert any("CLOSED" not in one for one in regular)
        for one, inner in zip(every, regular, strict=True):
            if "CLOSED" in inner:
                continue
            (opens, closes), (first, last) = one.split("-"), inner.split("-")
            assert opens <= first < last <= closes, "times of this form sort as they follow each other"

    run(scenario())


@EVERY
def test_an_unknown_instrument_is_refused_by_name(source: Source) -> None:
    """M-12: whichever field it is that fits nothing; the session goes on."""

    async def scenario() -> None:
        async with watching(source) as watch:
            for instrument in UNKNOWN.values():
                with pytest.raises(UnknownInstrument):
                    await watch.qualify(instrument)
            assert (await watch.qualify(AAPL)).con_id == listing_of(AAPL).con_id

    run(scenario())


@EVERY
def test_an_instrument_that_could_be_several_is_refused(source: Source) -> None:
    """M-13: nobody guesses a month or a right."""

    async def scenario() -> None:
        async with watching(source) as watch:
            for instrument in AMBIGUOUS.values():
                with pytest.raises(AmbiguousInstrument):
                    await watch.qualify(instrument)

    run(scenario())
