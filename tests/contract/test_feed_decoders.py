"""Who reads ticks makes no difference: from the same bytes the feed's own decoder and ib_async's give the same quotes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from contract.gateways import SYMBOLS, settings_for
from contract.market_data_sources import AAPL, MSFT, NVDA, SEED, Watch, with_feed
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import IB, Contract, StartupFetchNONE, Ticker
from support import eventually, log_of, run

from ibstream.contracts.quotes import Quote
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.runtime.connection import Trigger
from ibstream_feed.adapters import ibkr_fast
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.adapters.ibkr_fast import MALFORMED_LOG_INTERVAL_S, FastTicks
from ibstream_feed.adapters.ibkr_stock import FORGOTTEN_MAX, StockTicks
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import DELAYED, Line
from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

DECODERS = (FastTicks, StockTicks)
CODE = 354
START = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)


def frame(*fields: object) -> bytes:
    body = b"".join(str(one).encode() + b"\0" for one in fields)
    return struct.pack(">I", len(body)) + body


HANDSHAKE = frame(178, "20261127 10:00:00 EST") + frame(15, 1, "DU1") + frame(9, 1, 1)


@dataclass
class Replay:
    """ib_async without a socket, a decoder on it, and the lines of some requests."""

    decoder: type[FastTicks | StockTicks]
    requests: Iterable[int]
    lines: dict[int, Line] = field(default_factory=dict)
    book: QuoteBook = field(default_factory=lambda: QuoteBook(1))
    said: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book.flows = True
        self.ib = IB()
        self.ticks = self.decoder(clock=SYSTEM_CLOCK, on_ticks=self._on_ticks, on_snapshot_end=self._on_end)
        self.ticks.attach(self.ib)
        self.ib.errorEvent += self._on_code
        self.feed(HANDSHAKE)
        for request_id in self.requests:
            line = self.lines[request_id] = self.book.open(str(request_id))
            line.begin()
            self.ticks.watch(request_id, line)

    def feed(self, data: bytes) -> None:
        """As the socket does."""
        self.ib.client.conn.data_received(data)

    def rows(self) -> list[Quote]:
        """What the lines show, without the time."""
        return [untimed(line.row()) for line in self.lines.values()]

    def _on_ticks(self, lines: Iterable[Line], time_ns: int) -> None:
        self.book.ticked(lines, time_ns)
        self.said.append({line.symbol for line in lines})

    def _on_end(self, request_id: int) -> None:
        self.said.append(("end", request_id, untimed(self.lines[request_id].row())))

    def _on_code(self, request_id: int, code: int, _text: str, _contract: object) -> None:
        self.ticks.flush()
        self.said.append((code, request_id, self.rows()))


def untimed(row: Quote) -> Quote:
    return msgspec.structs.replace(row, time_ns=0)


def row_values(row: Quote) -> tuple[float | None, ...]:
    return row.bid, row.ask, row.last, row.bid_size, row.ask_size, row.last_size, row.volume


@dataclass
class Recording:
    """What a stand-in Gateway said on one connection, read by read, while data was asked for."""

    ib: IB
    reads: list[bytes] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def ask(self, contract: Contract, *, snapshot: bool = False) -> int:
        request_id = self.ib.client.getReqId()
        self.ib.wrapper.reqId2Ticker[request_id] = Ticker()  # or it logs every tick
        self.requests.append(request_id)
        self.ib.client.reqMktData(request_id, contract, "", snapshot, False, [])  # noqa: FBT003
        return request_id

    async def heard(self, *wanted: bytes) -> None:
        """Wait until all of these bytes have come."""
        await eventually(lambda: all(one in b"".join(self.reads) for one in wanted), what=f"{wanted}")


async def recorded() -> Recording:
    """Lines, snapshots, delayed data in the place of live, a halt of both, and ticks after it."""
    emulator = EmulatorSettings(symbols=SYMBOLS, port=0, seed=SEED, tick_interval_ms=20, ticks_per_second=5000)
    async with running_gateway(emulator, clock=SYSTEM_CLOCK) as server:
        control, ib = GatewayControl(server.state), IB()
        await ib.connectAsync(port=server.port, clientId=9, fetchFields=StartupFetchNONE)
        stocks = [
            Contract(secType="STK", symbol=one.replace(".", " "), exchange="SMART", currency="USD") for one in SYMBOLS
        ]
        await ib.qualifyContractsAsync(*stocks)
        recording = Recording(ib)
        ib.client.conn.hasData += recording.reads.append
        lines = [recording.ask(stock) for stock in stocks[:3]]
        snapshots = [recording.ask(stock, snapshot=True) for stock in stocks[4:]]
        ib.client.reqMarketDataType(DELAYED)
        await control.market_data_permission(code=354, symbol=SYMBOLS[3])
        delayed = recording.ask(stocks[3])
        await recording.heard(*(frame(57, 1, one) for one in snapshots), frame(58, 1, delayed, DELAYED))
        await recording.heard(*(b"\x00%d\x008\x00" % one for one in lines), b"\x00%d\x0074\x00" % delayed)
        await control.halt()
        await recording.heard(b"\x00%d\x0090\x001\x00" % delayed, *(b"\x00%d\x0049\x001\x00" % one for one in lines))
        await control.clear(fault="halt")
        count = len(recording.reads)
        await eventually(lambda: len(recording.reads) > count + 20, what="ticks after the halt")
        ib.disconnect()
    return recording


def emptied(request_id: int) -> bytes:
    """What a stand-in Gateway seldom says: no price, no size, and the sizes that come after."""
    return b"".join(
        (
            frame(1, 6, request_id, 1, "-1.00", 0, 1),
            frame(2, 6, request_id, 0, 0),
            frame(1, 6, request_id, 2, "10.5", 0, 1),
            frame(2, 6, request_id, 3, 700),
            frame(1, 6, request_id, 4, "-1", 0, 0),
            frame(1, 6, request_id, 1, "", 5, 0),
            frame(1, 6, request_id, 2, "10.75", "", 0),
            frame(2, 6, request_id, 3, ""),
            frame(1, 6, request_id, 1, "0.0", 5, 0),
        )
    )


async def both_rows(chunks: Iterable[bytes], requests: Iterable[int]) -> list[Quote]:
    """Feed both decoders, hold their rows against each other after every chunk, and return the last."""
    fast, stock = (Replay(decoder, requests) for decoder in DECODERS)
    rows: list[Quote] = []
    for chunk in chunks:
        fast.feed(chunk)
        stock.feed(chunk)
        rows = fast.rows()
        assert rows == stock.rows()
    assert [one for one in fast.said if isinstance(one, tuple)] == [one for one in stock.said if isinstance(one, tuple)]
    assert fast.ib.client._numBytesRecv == stock.ib.client._numBytesRecv
    assert fast.ib.client._numMsgRecv == stock.ib.client._numMsgRecv
    return rows


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_a_recorded_session_gives_the_same_rows_after_every_read() -> None:
    """As it came, cut small and cut large: rows, snapshots' ends, codes in their order, bytes and messages counted."""

    async def scenario() -> None:
        recording = await recorded()
        data = b"".join(recording.reads)
        line = recording.requests[0]
        reads = [*recording.reads, *cut(emptied(line), 41)]
        as_it_came = await both_rows(reads, recording.requests)
        whole = data + emptied(line)
        assert as_it_came == await both_rows(cut(whole, 4099), recording.requests)
        assert as_it_came == await both_rows(cut(whole, 65_536), recording.requests)
        by_symbol = {row.symbol: row for row in as_it_came}
        emptied_row = by_symbol.pop(str(line))
        assert (emptied_row.bid, emptied_row.ask, emptied_row.last) == (0.0, None, None)
        assert all(row.bid and row.ask and row.last and row.volume for row in by_symbol.values())
        assert sorted({row.quality for row in as_it_came}) == ["delayed", "live"]

    run(scenario())


requests = st.sampled_from([100, 101])
amounts = st.sampled_from(["0", "0.0", "", "-1", "5", "7.25", "300", "1.7976931348623157E308"])
ticks = st.one_of(
    st.builds(
        lambda *fields: frame(1, 6, *fields, 0),
        requests,
        st.sampled_from([1, 2, 4, 66, 67, 68, 6, 9]),
        amounts,
        amounts,
    ),
    st.builds(
        lambda *fields: frame(2, 6, *fields), requests, st.sampled_from([0, 3, 5, 8, 69, 70, 71, 74, 21]), amounts
    ),
    st.builds(
        lambda *fields: frame(45, 6, *fields), requests, st.sampled_from([49, 90]), st.sampled_from(["0", "1.0", "-1"])
    ),
    st.builds(lambda *fields: frame(58, 1, *fields), requests, st.sampled_from([1, 2, 3, 4])),
    st.builds(lambda one: frame(46, 6, one, 45, 1_795_880_523), requests),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ticks, max_size=60), st.lists(st.integers(0, 2000), max_size=6))
def test_any_ticks_give_the_same_values(each: list[bytes], cuts: list[int]) -> None:
    """Prices and sizes of nothing and of 0, live and delayed, halts: a line shows the same, whoever has read it."""

    async def scenario() -> None:
        data = b"".join(each)
        fast, stock = (Replay(decoder, (100, 101)) for decoder in DECODERS)
        edges = sorted(one for one in cuts if one < len(data))
        for start, end in zip([0, *edges], [*edges, len(data)], strict=True):
            for replay in (fast, stock):
                replay.feed(data[start:end])
            assert shown(fast) == shown(stock)

    run(scenario())


def shown(replay: Replay) -> list[object]:
    """What stands in the lines, whether a tick of it was worth telling or not."""
    stands: list[object] = []
    for line in replay.lines.values():
        known, line.known = line.known, line.values
        stands.append((row_values(line.row()), line.data_type, line.halted))
        line.known = known
    return stands


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_code_is_heard_between_the_ticks_before_and_after_it(decoder: type[FastTicks | StockTicks]) -> None:
    """In one read: what was told before a line was lost must not bring it back to life."""

    async def scenario() -> None:
        replay = Replay(decoder, (100, 101))
        before, after = frame(2, 6, 100, 0, 5), frame(2, 6, 101, 0, 6)
        replay.feed(before + frame(4, 2, 100, CODE, "not subscribed", "") + after)
        [first, (code, request_id, rows), last] = replay.said
        assert (first, code, request_id, last) == ({"100"}, CODE, 100, {"101"})
        assert [row.bid_size for row in rows] == [5.0, None]
        assert [row.bid_size for row in replay.rows()] == [5.0, 6.0]

    run(scenario())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("state", [frame(58, 1, 100, DELAYED), frame(45, 6, 100, 49, "1")])
def test_a_change_of_state_alone_is_told_once(decoder: type[FastTicks | StockTicks], state: bytes) -> None:
    """But not before the first tick, with which it comes; and what is no part of a row is not told."""

    async def scenario() -> None:
        replay = Replay(decoder, (100, 101))
        day_high, tick = frame(1, 6, 100, 6, "11", 0, 0), frame(2, 6, 100, 0, 5)
        replay.feed(frame(45, 6, 100, 49, "0") + frame(58, 1, 100, 1))
        assert replay.said == []
        told = []
        for read in (tick, state, state, day_high, frame(2, 6, 100, 0, 6) + state):
            replay.feed(read)
            told.append(len(replay.said))
        assert told == [1, 2, 2, 2, 3]

    run(scenario())


@pytest.mark.parametrize("decoder", DECODERS)
def test_late_ticks_of_a_request_forgotten_are_let_pass(
    decoder: type[FastTicks | StockTicks], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written, nothing is told, and nothing is logged, however many there were before."""

    async def scenario() -> None:
        replay = Replay(decoder, (100, 101))
        replay.feed(frame(2, 6, 100, 0, 5))
        stood = replay.rows()
        replay.said.clear()
        replay.ticks.forget(100)
        replay.feed(frame(2, 6, 100, 0, 6) + frame(1, 6, 100, 1, "10.5", 7, 0) + frame(57, 1, 100))
        assert replay.rows() == stood
        assert replay.said == []

    run(scenario())
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_what_ib_async_keeps_of_requests_forgotten_is_bounded() -> None:
    """Snapshots in turn for days; and an id that a later session gives out anew is not taken from it."""

    async def scenario() -> None:
        replay = Replay(StockTicks, ())
        kept = replay.ib.wrapper.reqId2Ticker
        line = replay.book.open("100")
        for request_id in range(FORGOTTEN_MAX):
            replay.ticks.watch(request_id, line)
            replay.ticks.forget(request_id)
        replay.ticks.watch(0, line)
        for request_id in range(FORGOTTEN_MAX, 2 * FORGOTTEN_MAX):
            replay.ticks.watch(request_id, line)
            replay.ticks.forget(request_id)
        assert len(kept) == FORGOTTEN_MAX + 1
        replay.feed(frame(2, 6, 0, 0, 5))
        assert replay.said == [{"100"}]

    run(scenario())


def test_malformed_ticks_are_left_out_and_told_once_a_minute() -> None:
    """The frames around them are read, and the log is not flooded."""

    async def scenario() -> None:
        clock, heard = ManualClock(START), list[set[str]]()
        ib, line = IB(), Line("100", 0)
        fast = FastTicks(
            clock=clock, on_ticks=lambda lines, _: heard.append({one.symbol for one in lines}), on_snapshot_end=print
        )
        fast.attach(ib)
        ib.client.conn.data_received(HANDSHAKE)
        fast.watch(100, line)
        with pytest.MonkeyPatch.context() as patch:
            log = log_of(ibkr_fast, patch)
            for _ in range(50):
                ib.client.conn.data_received(frame(2, 6, 100) + frame(2, 6, 100, 0, 5) + frame(1, 6, 100, 1))
            assert [(one["event"], one["count"]) for one in log] == [("feed.malformed_ticks", 2)]
            clock.advance(MALFORMED_LOG_INTERVAL_S)
            ib.client.conn.data_received(frame(1, 6, 100, 1))
            assert [one["count"] for one in log] == [2, 101]
        assert heard == [{"100"}] * 50

    run(scenario())


def test_a_read_that_cannot_be_finished_ends_the_session() -> None:
    """What is left of it is lost: better a new session than one whose bytes are read from the middle of a message."""

    async def scenario() -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("whoever hears of ticks")

        emulator = EmulatorSettings(symbols=SYMBOLS, port=0, seed=SEED, tick_interval_ms=50)
        async with running_gateway(emulator, clock=SYSTEM_CLOCK) as server:
            feed = IBKRMarketFeed(settings_for(server.port), clock=SYSTEM_CLOCK)
            feed.listen(fail, lambda *_: None, lambda *_: None)
            await feed.connect(3)
            await feed.subscribe(Line("AAPL", 0), await feed.qualify(AAPL))
            event = await feed.next_event()
            assert event.trigger is Trigger.LOST
            assert "does not answer" not in event.reason, "that is found, but late, by the probe"
            await feed.close()

    run(scenario())


def test_both_show_the_same_of_one_live_market() -> None:
    """Two connections to one stand-in Gateway, at a moment at which both have been told the same; and a halt."""

    async def scenario() -> None:
        emulator = EmulatorSettings(symbols=SYMBOLS, port=0, seed=SEED, tick_interval_ms=50)
        async with running_gateway(emulator, clock=SYSTEM_CLOCK) as server:
            control = GatewayControl(server.state)
            feeds = [
                Watch(
                    IBKRMarketFeed(with_feed(settings_for(server.port), decoder=decoder), clock=SYSTEM_CLOCK), control
                )
                for decoder in ("fast", "stock")
            ]
            for client_id, watch in enumerate(feeds, start=3):
                await watch.port.connect(client_id)
                await watch.subscribe(AAPL, MSFT, NVDA)
            for watch in feeds:
                for instrument in (AAPL, MSFT, NVDA):
                    await watch.whole(instrument)
            fast, stock = ([*watch.book] for watch in feeds)
            await eventually(
                lambda: [untimed(line.row()) for line in fast] == [untimed(line.row()) for line in stock],
                what="the same rows",
            )
            await control.halt()
            await eventually(lambda: all(line.halted for line in fast + stock), what="the halt of all")
            for watch in feeds:
                await watch.port.close()

    run(scenario())
