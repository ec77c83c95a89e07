"""The quote book: conflation, what is unsent, what is unsaved, what is stale."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ibstream.contracts.quotes import Quality, Quote, shard_of
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import BID, BID_SIZE, DELAYED, Line

SHARDS = 4
SYMBOLS = ["AAPL", "MSFT", "NVDA", "BRK.B", "TSLA"]
SHARD = shard_of("AAPL", SHARDS)


def flowing() -> QuoteBook:
    book = QuoteBook(SHARDS)
    book.flows = True
    return book


def tick(book: QuoteBook, symbol: str, bid: float, time_ns: int = 1) -> set[int]:
    """A bid comes."""
    line = book.open(symbol)
    line.values[BID], line.values[BID_SIZE] = b"%g" % bid, b"1"
    return book.ticked([line], time_ns)


def quote(symbol: str, bid: float, time_ns: int = 1, quality: Quality = Quality.LIVE) -> Quote:
    return Quote(symbol=symbol, bid=bid, bid_size=1, time_ns=time_ns, quality=quality)


def unsent(book: QuoteBook) -> dict[str, Quote]:
    rows = [row for shard in range(SHARDS) for row in book.take_unsent(shard)]
    assert len({row.symbol for row in rows}) == len(rows)
    return {row.symbol: row for row in rows}


def unsaved(book: QuoteBook) -> dict[str, Quote]:
    return {row.symbol: row for shard in range(SHARDS) for row in book.take_unsaved(shard)}


def test_a_row_that_changes_before_it_is_sent_is_sent_once_as_it_is_then() -> None:
    """Conflation keeps the latest row of a symbol and counts what it merged."""
    book = flowing()
    tick(book, "AAPL", 10)
    tick(book, "AAPL", 11, time_ns=2)
    assert book.conflated == 1
    assert unsent(book) == {"AAPL": quote("AAPL", 11, time_ns=2)}
    assert unsent(book) == {}


def test_a_row_goes_to_the_shard_of_its_symbol() -> None:
    """`ticked` names the shards that have something to send, and only those have."""
    book = flowing()
    assert [book.unsent(shard) for shard in range(SHARDS)] == [False] * SHARDS
    lines = [book.open("AAPL"), book.open("MSFT")]
    expected = {shard_of("AAPL", SHARDS), shard_of("MSFT", SHARDS)}
    assert book.ticked(lines, 1) == expected
    assert {shard for shard in range(SHARDS) if book.unsent(shard)} == expected
    assert {shard for shard in range(SHARDS) if book.unsaved(shard)} == expected
    assert book.shard_of("AAPL") == SHARD


def test_a_row_in_which_only_the_time_is_new_is_no_news() -> None:
    """A repeated quote costs consumers nothing, in whatever digits it comes."""
    book = flowing()
    tick(book, "AAPL", 10, time_ns=1)
    unsent(book)
    tick(book, "AAPL", 10, time_ns=2)
    assert unsent(book) == {}
    line = book.open("AAPL")
    line.values[BID] = b"10.00"
    book.ticked([line], 3)
    assert unsent(book) == {}


def test_a_quality_or_a_halt_is_news() -> None:
    """With the same prices."""
    book = flowing()
    tick(book, "AAPL", 10)
    unsent(book)
    line = book.open("AAPL")
    line.is_sampled = True
    book.ticked([line], 2)
    assert unsent(book)["AAPL"].quality is Quality.SNAPSHOT
    line.halted = True
    book.ticked([line], 3)
    assert unsent(book)["AAPL"].halted


def test_while_nothing_flows_what_still_arrives_is_not_believed() -> None:
    """The link to IBKR is down, the socket is not."""
    book = QuoteBook(SHARDS)
    assert tick(book, "AAPL", 10) == set()
    assert unsent(book) == {}


def test_a_snapshot_that_is_not_whole_is_not_looked_at() -> None:
    """Its line counts as touched once it is."""
    book = flowing()
    line = book.open("AAPL")
    line.is_gathering = True
    assert tick(book, "AAPL", 10) == set()
    assert unsent(book) == {}
    line.is_gathering = False
    assert tick(book, "AAPL", 10) == {SHARD}


def test_rows_put_back_do_not_overwrite_newer_ones() -> None:
    """After a failed write the newest state of each symbol is what goes out next."""
    book = flowing()
    tick(book, "AAPL", 10)
    taken = book.take_unsent(SHARD)
    tick(book, "AAPL", 12)
    book.put_back(taken)
    assert unsent(book) == {"AAPL": quote("AAPL", 12)}


def test_rows_put_back_are_sent_again_although_they_say_nothing_new() -> None:
    """Nobody knows whether they were written."""
    book = flowing()
    tick(book, "AAPL", 10)
    book.put_back(book.take_unsent(SHARD))
    assert unsent(book) == {"AAPL": quote("AAPL", 10)}


def test_stale_marks_every_row_once_and_keeps_its_prices() -> None:
    """When quotes stop flowing each row says so; saying it again changes nothing, and what never had a value says nothing."""
    book = flowing()
    tick(book, "AAPL", 10)
    tick(book, "MSFT", 20)
    book.open("NVDA")
    unsent(book)
    assert book.mark_stale(book, 9) == {shard_of("AAPL", SHARDS), shard_of("MSFT", SHARDS)}
    assert unsent(book) == {
        "AAPL": quote("AAPL", 10, 9, Quality.STALE),
        "MSFT": quote("MSFT", 20, 9, Quality.STALE),
    }
    assert book.mark_stale(book, 10) == set()
    assert unsent(book) == {}


def test_a_stale_row_shows_nothing_that_came_after_it() -> None:
    """Nothing flows, but the port still writes; what it writes is shown with the first tick that is believed."""
    book = flowing()
    tick(book, "AAPL", 10)
    book.mark_stale(book, 2)
    book.flows = False
    tick(book, "AAPL", 11, time_ns=3)
    assert unsent(book) == unsaved(book) == {"AAPL": quote("AAPL", 10, 2, Quality.STALE)}
    book.flows = True
    book.ticked([book.open("AAPL")], 4)
    assert unsent(book) == unsaved(book) == {"AAPL": quote("AAPL", 11, 4)}


def test_a_tick_ends_staleness_even_with_the_same_price() -> None:
    """The row is kept up again, and says so."""
    book = flowing()
    tick(book, "AAPL", 10)
    book.mark_stale(book, 2)
    unsent(book)
    tick(book, "AAPL", 10, time_ns=3)
    assert unsent(book) == {"AAPL": quote("AAPL", 10, 3)}


def test_one_symbol_can_be_stale_among_live_ones() -> None:
    """Its subscription was refused; the others go on."""
    book = flowing()
    for symbol in ("AAPL", "MSFT"):
        tick(book, symbol, 10)
    unsent(book)
    book.mark_stale([book.open("AAPL")], 9)
    assert unsent(book) == {"AAPL": quote("AAPL", 10, 9, Quality.STALE)}


def test_a_line_that_is_shown_is_sent_whatever_was_sent_before() -> None:
    """A new epoch's consumers were not there."""
    book = flowing()
    tick(book, "AAPL", 10)
    unsent(book)
    unsaved(book)
    book.show(book.open("AAPL"))
    assert unsent(book) == unsaved(book) == {"AAPL": quote("AAPL", 10)}


def test_of_a_line_that_was_closed_nothing_is_sent_or_saved() -> None:
    """Nor put back, also where the symbol was opened anew and has no value yet."""
    book = flowing()
    tick(book, "AAPL", 10)
    taken, saved = book.take_unsent(SHARD), book.take_unsaved(SHARD)
    tick(book, "AAPL", 11)
    book.close("AAPL")
    book.close("NOPE")
    assert (unsent(book), unsaved(book), len(book), book.get("AAPL")) == ({}, {}, 0, None)
    book.open("AAPL")
    book.put_back(taken)
    book.put_back_unsaved(saved)
    assert (unsent(book), unsaved(book)) == ({}, {})


def test_a_closed_line_says_nothing_whatever_still_arrives() -> None:
    """It ticks until its subscription has ended; and another line of the symbol may have been opened."""
    book = flowing()
    tick(book, "AAPL", 10)
    unsent(book)
    unsaved(book)
    closed = book.open("AAPL")
    book.close("AAPL")
    opened = book.open("AAPL")
    closed.values[BID] = b"11"
    assert book.ticked([closed], 2) == book.mark_stale([closed], 3) == set()
    book.show(closed)
    assert (unsent(book), unsaved(book)) == ({}, {})
    assert book.ticked([closed, opened], 4) == {SHARD}


def test_a_row_that_waits_is_sent_as_what_its_values_are() -> None:
    """A write takes its time, or fails; meanwhile another subscription begins, which has said nothing yet."""
    book = flowing()
    line = book.open("AAPL")
    line.data_type, line.halted = DELAYED, True
    tick(book, "AAPL", 10)
    line.begin()
    rows, saved = book.take_unsent(SHARD), book.take_unsaved(SHARD)
    assert rows == saved == [replace(quote("AAPL", 10, quality=Quality.DELAYED), halted=True)]
    book.put_back(rows)
    book.put_back_unsaved(saved)
    assert unsent(book) == unsaved(book) == {"AAPL": rows[0]}
    tick(book, "AAPL", 11)
    assert unsent(book) == {"AAPL": quote("AAPL", 11)}


def test_last_values_are_kept_apart_from_what_is_unsent() -> None:
    """Sending a row does not lose it for the hash, and a failed save comes back."""
    book = flowing()
    tick(book, "AAPL", 10)
    book.take_unsent(SHARD)
    saved = book.take_unsaved(SHARD)
    assert saved == [quote("AAPL", 10)]
    assert book.take_unsaved(SHARD) == []
    book.put_back_unsaved(saved)
    book.put_back_unsaved(saved)
    assert book.take_unsaved(SHARD) == saved


def test_a_symbol_has_one_line() -> None:
    """Whoever opens it."""
    book = QuoteBook(SHARDS)
    line = book.open("AAPL")
    assert book.open("AAPL") is book.get("AAPL") is line
    assert list(book) == [line]
    assert isinstance(line, Line)


STEPS = ["tick", "tick", "mark_stale", "send", "fail_to_send", "save", "fail_to_save"]


class Followed:
    """A book, what was told to it, and what it had sent and saved."""

    def __init__(self) -> None:
        self.book = flowing()
        self.newest: dict[str, Quote] = {}
        self.sent: dict[str, Quote] = {}
        self.saved: dict[str, Quote] = {}
        self.doubtful: set[str] = set()

    def tick(self, symbol: str, bid: int, time_ns: int) -> None:
        tick(self.book, symbol, bid, time_ns)
        self.newest[symbol] = quote(symbol, bid, time_ns)

    def mark_stale(self, symbol: str, _bid: int, time_ns: int) -> None:
        if self.book.mark_stale([self.book.open(symbol)], time_ns):
            self.newest[symbol] = quote(symbol, self.newest[symbol].bid or 0, time_ns, Quality.STALE)

    def send(self, *_: object) -> None:
        rows = unsent(self.book)
        for symbol, row in rows.items():
            assert symbol in self.doubtful or says(row) != says(self.sent.get(symbol))
        self.sent |= rows
        self.doubtful -= rows.keys()

    def fail_to_send(self, *_: object) -> None:
        rows = unsent(self.book)
        self.book.put_back(rows.values())
        self.doubtful |= rows.keys()

    def save(self, *_: object) -> None:
        self.saved |= unsaved(self.book)

    def fail_to_save(self, *_: object) -> None:
        self.book.put_back_unsaved(unsaved(self.book).values())


def says(row: Quote | None) -> tuple[float | None, Quality] | None:
    """All but the time."""
    return None if row is None else (row.bid, row.quality)


@given(st.lists(st.tuples(st.sampled_from(SYMBOLS[:3]), st.integers(1, 4), st.sampled_from(STEPS))))
def test_whatever_fails_in_between_the_newest_row_of_every_symbol_arrives(steps: list[tuple[str, int, str]]) -> None:
    """For any interleaving of ticks, marks, sends, saves and failures, what was seen last is what was sent and saved last;
    and no row says what the one before said, unless nobody knows whether that was written."""
    followed = Followed()
    for time_ns, (symbol, bid, step) in enumerate(steps, start=1):
        getattr(followed, step)(symbol, bid, time_ns)
    followed.send()
    followed.save()
    assert {symbol: says(row) for symbol, row in followed.sent.items()} == {
        symbol: says(row) for symbol, row in followed.newest.items()
    }
    assert followed.saved == followed.newest
