"""What is wanted, given who holds which lease: pure decisions."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream_feed.domain.leases import Lease, Leases

NASDAQ = Instrument(symbol="AAPL", primary_exchange="NASDAQ")


def lease(symbol: str = "AAPL", consumer: str = "a", **said: object) -> Lease:
    """A lease on quotes of a stock from 1 s to 61 s, but for what is said."""
    plain = Lease(
        since_ms=1_000,
        expires_ms=61_000,
        request_id="1000-0",
        consumer=consumer,
        instrument=Instrument(symbol=symbol),
        data=DataKind.QUOTES,
        priority=5,
    )
    return msgspec.structs.replace(plain, **said)


def wanted(leases: Leases, now_ms: int = 1_000, data: DataKind = DataKind.QUOTES) -> list[str]:
    """The symbols in their order."""
    return [want.symbol for want in leases.wants(data, now_ms)]


def test_nobody_wants_anything() -> None:
    """An empty table wants nothing, and nothing of it ends."""
    assert wanted(Leases()) == []
    assert Leases().expired(10**15) == []
    assert Leases().next_expiry_ms is None
    assert len(Leases()) == 0


def test_a_symbol_is_wanted_once_at_the_best_priority_since_the_earliest() -> None:
    """However many hold a lease: the best of their priorities, the earliest of their times, not necessarily of one lease."""
    leases = Leases([lease(), lease(consumer="b", priority=2, since_ms=5_000), lease(consumer="c", priority=9)])
    (want,) = leases.wants(DataKind.QUOTES, 6_000)
    assert (want.symbol, want.priority, want.since_ms, want.data) == ("AAPL", 2, 1_000, DataKind.QUOTES)
    assert want.instrument == Instrument(symbol="AAPL")


def test_the_most_wanted_come_first() -> None:
    """By priority; among equals who asked first; among those of one moment by symbol."""
    leases = Leases([
        lease("D", since_ms=3_000),
        lease("C", since_ms=2_000),
        lease("B", since_ms=2_000),
        lease("Z", priority=1, since_ms=9_000),
        lease("A", priority=9, since_ms=0),
    ])  # fmt: skip
    assert wanted(leases) == ["Z", "B", "C", "D", "A"]


def test_each_holder_counts_until_the_last_has_ended() -> None:
    """Two hold a lease; it is wanted until the later of them is over, to the millisecond, at the priority of who is left."""
    leases = Leases([lease(priority=1), lease(consumer="b", since_ms=2_000, expires_ms=70_000)])
    assert [want.priority for want in leases.wants(DataKind.QUOTES, 60_999)] == [1]
    assert [want.priority for want in leases.wants(DataKind.QUOTES, 61_000)] == [5]
    assert wanted(leases, 69_999) == ["AAPL"]
    assert wanted(leases, 70_000) == []


def test_kinds_are_wanted_each_by_itself() -> None:
    """A lease on ticks is none on quotes; one consumer can hold both."""
    leases = Leases([lease(), lease(data=DataKind.TICKS), lease("MSFT", data=DataKind.TICKS)])
    assert len(leases) == 3
    assert wanted(leases) == ["AAPL"]
    assert wanted(leases, data=DataKind.TICKS) == ["AAPL", "MSFT"]
    assert wanted(leases, data=DataKind.DEPTH) == []
    assert [want.data for want in leases.wants(DataKind.TICKS, 1_000)] == [DataKind.TICKS] * 2


@pytest.mark.parametrize("first", [True, False])
def test_the_instrument_that_says_more_is_taken(first: bool) -> None:
    """Of one with a primary exchange and one without, the one with it, whoever came first or stands first."""
    plain, full = lease(since_ms=1_000 if first else 3_000), lease(consumer="b", instrument=NASDAQ, since_ms=2_000)
    for order in ([plain, full], [full, plain]):
        (want,) = Leases(order).wants(DataKind.QUOTES, 4_000)
        assert want.instrument == NASDAQ


def test_of_two_that_say_as_much_the_earlier_is_taken() -> None:
    """A later consumer with another primary exchange does not change what is subscribed."""
    other = Instrument(symbol="AAPL", primary_exchange="ARCA")
    leases = [lease(consumer="b", instrument=NASDAQ), lease(consumer="a", instrument=other, since_ms=2_000)]
    for order in (leases, leases[::-1]):
        (want,) = Leases(order).wants(DataKind.QUOTES, 4_000)
        assert want.instrument == NASDAQ


def test_an_exchange_says_more_than_smart() -> None:
    """Futures are called the same at every exchange: the one that names a real one is taken."""
    smart = Instrument(symbol="ES", security_type="FUT", expiry="202612")
    cme = msgspec.structs.replace(smart, exchange="CME")
    leases = Leases([lease(instrument=smart), lease(consumer="b", instrument=cme, since_ms=2_000)])
    (want,) = leases.wants(DataKind.QUOTES, 4_000)
    assert want.instrument == cme


@pytest.mark.parametrize("written", ["250.0", "2.5E2"])
def test_an_option_is_wanted_once_however_its_strike_is_written(written: str) -> None:
    """Two consumers that write one strike in two ways share one subscription."""
    plain = Instrument(symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal(250), right="C")
    other = msgspec.structs.replace(plain, strike=Decimal(written))
    leases = Leases([lease(instrument=plain), lease(consumer="b", instrument=other)])
    assert wanted(leases) == ["AAPL 20261218 250 C"]


def test_those_whose_time_is_over_and_when_the_next_ends() -> None:
    """The table says which are over by what it knows; nothing is looked through before the first of them can be."""
    first, second = lease(), lease("MSFT", expires_ms=70_000)
    leases = Leases([second, first])
    assert leases.next_expiry_ms == 61_000
    assert leases.expired(60_999) == []
    assert leases.expired(61_000) == [first]
    assert leases.expired(70_000) == [second, first]


def test_a_replaced_table_leaves_the_old_one_alone() -> None:
    """What is over goes, what was renewed comes in its place; who holds the old table sees the old state."""
    over, renewed = lease("MSFT"), lease(expires_ms=121_000)
    before = Leases([lease(), over])
    after = before.replaced([lease(), over], [renewed])
    assert wanted(after, 61_000) == ["AAPL"]
    assert after.next_expiry_ms == 121_000
    assert wanted(before, 60_000) == ["AAPL", "MSFT"]
    assert before.next_expiry_ms == 61_000


def test_newly_taken() -> None:
    """A new holder, or one that comes back after its lease had ended; a renewal is neither, and neither is one that ended."""
    before = Leases([lease(), lease("MSFT"), lease("SPY")])
    after = Leases([
        lease(expires_ms=90_000, request_id="30000-0"),
        lease("MSFT", consumer="b", since_ms=30_000),
        lease("QQQ"),
        lease("SPY", since_ms=70_000, expires_ms=130_000),
    ])  # fmt: skip
    assert after.newly_taken(before) == {"MSFT", "QQQ", "SPY"}
    assert after.newly_taken(after) == set()


LEASES = st.builds(
    lease,
    symbol=st.sampled_from(["A", "B", "C"]),
    consumer=st.sampled_from(["a", "b", "c"]),
    data=st.sampled_from(DataKind),
    priority=st.integers(1, 9),
    since_ms=st.integers(0, 50),
    expires_ms=st.integers(0, 100),
)


@given(st.lists(LEASES), st.integers(0, 110), st.randoms(use_true_random=False))
def test_what_is_wanted_is_what_somebody_holds(leases: list[Lease], now_ms: int, shuffle: object) -> None:
    """For any leases: exactly the symbols with one in force, each once, in order, whatever the order they are read in."""
    once = list({one.key: one for one in leases}.values())
    table = Leases(once)
    shuffle.shuffle(once)  # type: ignore[attr-defined]
    for data in DataKind:
        wants = table.wants(data, now_ms)
        assert wants == Leases(once).wants(data, now_ms)
        held = {one.symbol for one in once if one.data is data and one.expires_ms > now_ms}
        assert {want.symbol for want in wants} == held
        assert len(wants) == len(held)
        assert [(want.priority, want.since_ms) for want in wants] == sorted(
            (want.priority, want.since_ms) for want in wants
        )
    gone = table.expired(now_ms)
    assert len(gone) + sum(one.expires_ms > now_ms for one in once) == len(once)
    left = table.replaced(gone, ())
    assert [left.wants(data, now_ms) for data in DataKind] == [table.wants(data, now_ms) for data in DataKind]
    assert len(left) == len(once) - len(gone)
