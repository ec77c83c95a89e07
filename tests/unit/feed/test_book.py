"""The quote book: conflation, what is unsent, what is stale."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.quotes import Quality, Quote, shard_of
from ibstream_feed.domain.book import QuoteBook

SHARDS = 4
SYMBOLS = ["AAPL", "MSFT", "NVDA", "BRK.B", "TSLA"]


def quote(symbol: str, bid: float, time_ns: int = 1) -> Quote:
    return Quote(symbol=symbol, bid=bid, ask=bid + 0.02, time_ns=time_ns)


def unsent(book: QuoteBook) -> dict[str, Quote]:
    return {row.symbol: row for shard in range(SHARDS) for row in book.take_unsent(shard)}


def test_a_row_that_changes_before_it_is_sent_is_sent_once_as_it_is_then() -> None:
    """Conflation keeps the latest row of a symbol and counts what it merged."""
    book = QuoteBook(SHARDS)
    book.update(quote("AAPL", 10))
    book.update(quote("AAPL", 11))
    assert unsent(book) == {"AAPL": quote("AAPL", 11)}
    assert book.conflated == 1
    assert unsent(book) == {}


def test_a_row_goes_to_the_shard_of_its_symbol() -> None:
    """`update` names the shard that has something to send, and only that one has."""
    book = QuoteBook(SHARDS)
    shard = book.update(quote("AAPL", 10))
    assert shard == shard_of("AAPL", SHARDS)
    assert [len(book.take_unsent(number)) for number in range(SHARDS)] == [
        int(number == shard) for number in range(SHARDS)
    ]


def test_a_row_in_which_only_the_time_is_new_is_no_news() -> None:
    """A repeated quote costs consumers nothing."""
    book = QuoteBook(SHARDS)
    book.update(quote("AAPL", 10, time_ns=1))
    unsent(book)
    assert book.update(quote("AAPL", 10, time_ns=2)) is None
    assert unsent(book) == {}


def test_rows_put_back_do_not_overwrite_newer_ones() -> None:
    """After a failed write the newest state of each symbol is what goes out next."""
    book = QuoteBook(SHARDS)
    shard = book.update(quote("AAPL", 10))
    assert shard is not None
    taken = book.take_unsent(shard)
    book.update(quote("AAPL", 12))
    book.put_back(shard, taken)
    assert unsent(book) == {"AAPL": quote("AAPL", 12)}


def test_stale_marks_every_row_once_and_keeps_its_prices() -> None:
    """When quotes stop flowing each row says so; saying it again changes nothing."""
    book = QuoteBook(SHARDS)
    book.update(quote("AAPL", 10))
    book.update(quote("MSFT", 20))
    unsent(book)
    changed = book.mark_stale(9)
    assert changed == {shard_of("AAPL", SHARDS), shard_of("MSFT", SHARDS)}
    rows = unsent(book)
    assert {row.quality for row in rows.values()} == {Quality.STALE}
    assert {symbol: row.bid for symbol, row in rows.items()} == {"AAPL": 10, "MSFT": 20}
    assert book.mark_stale(10) == set()


def test_one_symbol_can_be_stale_among_live_ones() -> None:
    """Its subscription was refused; the others go on."""
    book = QuoteBook(SHARDS)
    for symbol in ("AAPL", "MSFT"):
        book.update(quote(symbol, 10))
    unsent(book)
    assert book.mark_one_stale("AAPL", 9) == shard_of("AAPL", SHARDS)
    assert {symbol: row.quality for symbol, row in unsent(book).items()} == {"AAPL": Quality.STALE}
    assert book.mark_one_stale("AAPL", 10) is None
    assert book.mark_one_stale("NOPE", 10) is None


def test_last_values_are_kept_apart_from_what_is_unsent() -> None:
    """Sending a row does not lose it for the hash, and a failed save comes back."""
    book = QuoteBook(SHARDS)
    shard = book.update(quote("AAPL", 10))
    assert shard is not None
    book.take_unsent(shard)
    saved = book.take_unsaved(shard)
    assert saved == {"AAPL": quote("AAPL", 10)}
    book.put_back_unsaved(shard, saved)
    assert book.take_unsaved(shard) == saved


@given(st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 9), st.sampled_from(["update", "send", "fail"]))))
def test_whatever_fails_in_between_the_newest_row_of_every_symbol_arrives(steps: list[tuple[str, int, str]]) -> None:
    """For any interleaving of ticks, sends and failed sends, what was sent last is what was seen last."""
    book, newest, sent = QuoteBook(SHARDS), dict[str, Quote](), dict[str, Quote]()
    for symbol, bid, step in steps:
        if step == "update":
            newest[symbol] = quote(symbol, bid)
            book.update(newest[symbol])
            continue
        for shard in range(SHARDS):
            rows = book.take_unsent(shard)
            if step == "fail":
                book.put_back(shard, rows)
            else:
                sent |= {row.symbol: row for row in rows}
    assert sent | unsent(book) == newest
