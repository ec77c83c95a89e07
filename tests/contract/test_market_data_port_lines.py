"""Cards M-20 to M-39: lines and snapshots, for every source of market data."""

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
    NVDA,
    Source,
    connected,
    is_asked,
    market_row,
    watching,
)
from support import eventually, run

from ibstream.contracts.instrument import quote_symbol
from ibstream.contracts.quotes import Quality, Quote
from ibstream.ibkr import RequestFailed
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed.domain.line import LAST
from ibstream_feed.ports import Qualified

NO_CONTRACT = 200


def nobodys(contract: Qualified) -> Qualified:
    """The same, by an id that no instrument has."""
    return msgspec.structs.replace(contract, con_id=999)


@EVERY
@EVERY_KIND
def test_a_line_shows_the_market(source: Source, kind: str) -> None:
    """M-20: whole, live, and as the market was a moment ago; of an index no book, of a pair no trades."""

    async def scenario() -> None:
        instrument = KINDS[kind]
        async with watching(source) as watch:
            [line] = await watch.subscribe(instrument)
            row = await watch.whole(instrument)
            assert (row.symbol, row.quality, row.halted) == (quote_symbol(instrument), Quality.LIVE, False)
            await eventually(lambda: market_row(line.row(), instrument), what=f"a row of the market: {line.row()}")
            if row.bid is not None and row.ask is not None:
                assert row.bid < row.ask

    run(scenario())


@EVERY
def test_rows_follow_the_market(source: Source) -> None:
    """M-21: in its order; the volume of a day never falls."""

    async def scenario() -> None:
        async with watching(source) as watch:
            [line] = await watch.subscribe(AAPL)
            await watch.whole(AAPL)
            await watch.ticks(line, times=6)
            volumes = [row.volume for row in watch.rows if row.volume is not None]
            assert volumes == sorted(volumes)
            assert len(set(volumes)) > 2
            seen = [quote.sequence for row in watch.rows if (quote := market_row(row, AAPL)) is not None]
            assert len(set(seen)) > 2
            assert seen == sorted(seen)

    run(scenario())


@EVERY
def test_a_line_is_told_once_for_what_came_together(source: Source) -> None:
    """M-22: one call for all lines that a read has touched, each in it once, with the time at which it was read."""

    async def scenario() -> None:
        async with watching(source) as watch:
            began_ns = SYSTEM_CLOCK.time_ns()
            lines = await watch.subscribe(AAPL, MSFT, NVDA)
            await watch.ticks(*lines, times=5)
            ended_ns = SYSTEM_CLOCK.time_ns()
            for read in watch.reads:
                assert len(read.symbols) == len(set(read.symbols)) > 0
            times = [read.time_ns for read in watch.reads]
            assert [began_ns, *times, ended_ns] == sorted([began_ns, *times, ended_ns])
            assert any(len(read.symbols) > 1 for read in watch.reads)

    run(scenario())


@EVERY
def test_a_contract_needs_no_second_look_up(source: Source) -> None:
    """M-23: what one process was told, another subscribes, which has never looked it up."""

    async def scenario() -> None:
        async with source() as ports:
            async with connected(ports()) as first:
                contracts = {kind: await first.qualify(instrument) for kind, instrument in KINDS.items()}
            remembered = msgspec.json.decode(msgspec.json.encode(contracts), type=dict[str, Qualified])
            async with connected(ports()) as watch:
                for kind, contract in remembered.items():
                    await watch.port.subscribe(watch.line(KINDS[kind]), contract)
                for instrument in KINDS.values():
                    await watch.whole(instrument)
                assert watch.codes == []

    run(scenario())


@EVERY
def test_lines_are_independent(source: Source) -> None:
    """M-24: one ends, the other ticks on."""

    async def scenario() -> None:
        async with watching(source) as watch:
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.ticks(aapl, msft)
            await watch.port.unsubscribe(aapl)
            await watch.ticks(msft, times=3)
            await eventually(lambda: market_row(msft.row(), MSFT), what=f"a row of the market: {msft.row()}")

    run(scenario())


@EVERY
def test_nothing_is_written_into_a_line_that_has_ended(source: Source) -> None:
    """M-25: not from when `unsubscribe` has returned; a line that has no subscription may end as well."""

    async def scenario() -> None:
        async with watching(source) as watch:
            aapl, msft = await watch.subscribe(AAPL, MSFT)
            await watch.ticks(aapl, msft)
            await watch.port.unsubscribe(aapl)
            reads, values = watch.reads_of(aapl), aapl.values.copy()
            await watch.port.unsubscribe(aapl)
            await watch.port.unsubscribe(watch.line(NVDA))
            await watch.ticks(msft, times=5)
            assert (watch.reads_of(aapl), aapl.values) == (reads, values)
            assert watch.codes == []

    run(scenario())


@EVERY
def test_a_line_can_begin_again(source: Source) -> None:
    """M-26: it is whole again, without a word about the one before."""

    async def scenario() -> None:
        async with watching(source) as watch:
            contract, line = await watch.qualify(AAPL), watch.line(AAPL)
            for _ in range(3):
                await watch.port.subscribe(line, contract)
                await watch.whole(AAPL)
                await watch.port.unsubscribe(line)
            assert watch.codes == []

    run(scenario())


@EVERY
def test_old_values_do_not_pass_for_new(source: Source) -> None:
    """M-27: what stood before a subscription is gone with its first tick, also where nothing takes its place."""

    async def scenario() -> None:
        index = KINDS["index"]
        async with watching(source) as watch:
            line = watch.line(index)
            line.restore(Quote(line.symbol, bid=1.0, ask=2.0, last=3.0, bid_size=4.0, ask_size=5.0, halted=True))
            line.data_type = 3
            await watch.subscribe(index)
            await watch.ticks(line)
            await eventually(lambda: line.values[LAST], what="a last price")
            row = line.row()
            assert (row.bid, row.ask, row.halted, row.quality) == (None, None, False, Quality.LIVE)
            assert row.last != 3.0

    run(scenario())


@EVERY
def test_a_contract_that_nobody_has_is_refused_by_code(source: Source) -> None:
    """M-28: of its line, with 200, after `subscribe` has returned; others tick."""

    async def scenario() -> None:
        async with watching(source) as watch:
            contract, line = await watch.qualify(AAPL), watch.line(AAPL)
            await watch.port.subscribe(line, nobodys(contract))
            assert watch.codes == []
            [msft] = await watch.subscribe(MSFT)
            await watch.code(line, NO_CONTRACT)
            await watch.ticks(msft)
            assert watch.reads_of(line) == 0

    run(scenario())


@EVERY
@EVERY_KIND
def test_a_snapshot_is_one_whole_quote(source: Source, kind: str) -> None:
    """M-30: told once, when it is whole, and not before."""

    async def scenario() -> None:
        instrument = KINDS[kind]
        async with watching(source) as watch:
            line = await watch.snapshot(instrument)
            assert not line.is_gathering
            assert [read for read in watch.reads if not read.gathering] == watch.reads[-1:]
            [row] = watch.rows
            assert row.quality is Quality.LIVE
            assert market_row(row, instrument) is not None, row

    run(scenario())


@EVERY
def test_nothing_follows_a_snapshot(source: Source) -> None:
    """M-31: the line is as if it had never been asked for, and can be asked for again, or followed."""

    async def scenario() -> None:
        async with watching(source) as watch:
            line = await watch.snapshot(AAPL)
            reads = watch.reads_of(line)
            [msft] = await watch.subscribe(MSFT)
            await watch.ticks(msft, times=3)
            assert watch.reads_of(line) == reads
            await watch.snapshot(AAPL)
            assert watch.reads_of(line) > reads
            await watch.subscribe(AAPL)
            await watch.ticks(line, times=3)
            assert watch.codes == []

    run(scenario())


@EVERY
def test_several_snapshots_at_once_are_all_whole(source: Source) -> None:
    """M-32: each in its own line, beside lines that tick."""

    async def scenario() -> None:
        async with watching(source) as watch:
            [msft] = await watch.subscribe(MSFT)
            kinds = [instrument for kind, instrument in KINDS.items() if kind != "class"]
            await asyncio.gather(*(watch.snapshot(instrument) for instrument in kinds))
            for instrument in kinds:
                assert market_row(watch.line(instrument).row(), instrument) is not None, instrument
            await watch.ticks(msft)

    run(scenario())


@EVERY
def test_a_snapshot_that_is_refused_leaves_the_line_as_it_was(source: Source) -> None:
    """M-33: `RequestFailed` with IBKR's code; the row shows what it showed before."""

    async def scenario() -> None:
        async with watching(source) as watch:
            contract, line = await watch.qualify(AAPL), await watch.snapshot(AAPL)
            row, reads = line.row(), len(watch.reads)
            with pytest.raises(RequestFailed) as failed:
                await watch.port.snapshot(line, nobodys(contract))
            assert failed.value.code == NO_CONTRACT
            assert (line.row(), line.is_gathering, len(watch.reads)) == (row, False, reads)

    run(scenario())


@EVERY
def test_a_snapshot_that_is_given_up_is_forgotten(source: Source) -> None:
    """M-34: whoever asked does not want it any more; nothing is told of it later."""

    async def scenario() -> None:
        async with watching(source) as watch:
            contract, line = await watch.qualify(AAPL), watch.line(AAPL)
            asking = asyncio.create_task(watch.port.snapshot(line, contract))
            await is_asked(line)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            [msft] = await watch.subscribe(MSFT)
            await watch.ticks(msft, times=3)
            assert not line.is_gathering
            assert watch.reads_of(line) == 0
            assert line.row().bid is None

    run(scenario())
