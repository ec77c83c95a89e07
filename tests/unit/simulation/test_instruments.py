"""The facts of every instrument follow from its key, and contracts are found by symbol, id, root and chain."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.runtime.symbols import load_symbols
from ibstream.simulation.catalog import FUTURES
from ibstream.simulation.expiries import last_trading_day, option_expiries
from ibstream.simulation.instruments import InstrumentMaster, listing
from ibstream.simulation.keys import option_key
from ibstream.simulation.listings import MARKET_RULES
from ibstream.simulation.strikes import FIRST_OPTION_ID, LADDER

SYMBOL_LIST = Path(__file__).parents[3] / "config" / "symbols" / "sp500.txt"
TODAY = date(2026, 11, 23)
MASTER = InstrumentMaster(load_symbols(SYMBOL_LIST))

roots = st.sampled_from(sorted(FUTURES))
days = st.dates(date(2020, 1, 3), date(2036, 1, 1))


def test_the_shipped_list_and_the_catalog_have_no_two_of_one_contract_id() -> None:
    """All 500 stocks are there, and every id is below those of options."""
    symbols = load_symbols(SYMBOL_LIST)
    assert {one.symbol for one in MASTER} >= set(symbols)
    assert len(MASTER) > len(symbols) >= 500
    for one in MASTER:
        assert MASTER.by_con_id(one.con_id) is one
        assert 0 < one.con_id < FIRST_OPTION_ID
        assert "\\" not in one.long_name


@pytest.mark.parametrize(("symbol", "con_id"), [("AAPL", 265598), ("TSLA", 76792991), ("AMZN", 3691937)])
def test_contract_ids_known_from_recorded_sessions_are_kept(symbol: str, con_id: int) -> None:
    """Of stocks."""
    assert listing(symbol).con_id == con_id
    assert (listing(symbol).primary_exchange, listing(symbol).trading_class) == ("NASDAQ", "NMS")


def test_a_share_class_is_found_in_both_forms() -> None:
    """Ours and IBKR's."""
    master = InstrumentMaster(["BRK.B", "AAPL"])
    found = master.by_symbol("BRK.B")
    assert found is not None
    assert found is master.by_symbol("BRK B") is master.stock("BRK B")
    assert (found.symbol, found.ib_symbol, found.primary_exchange) == ("BRK.B", "BRK B", "NYSE")


def test_search_gives_the_exact_symbol_first() -> None:
    """And names count as well as symbols."""
    master = InstrumentMaster(["AA", "AAPL", "A", "MSFT"])
    assert [one.symbol for one in master.matching("a")][:3] == ["A", "AA", "AAPL"]
    assert [one.symbol for one in master.matching("apple")] == ["AAPL"]
    assert master.matching("spy")[0].stock_type == "ETF"
    assert master.matching("") == []


def test_the_recorded_micro_future() -> None:
    """MESM6 as a live Gateway named it: a Thursday, for the third Friday of June 2026 is a holiday."""
    found = MASTER.by_con_id(770561194)
    assert found is not None
    assert found is MASTER.by_con_id(770561194)
    assert (found.symbol, found.ib_symbol, found.local_symbol) == ("MESM2026", "MES", "MESM6")
    assert (found.last_trade_date, found.exchange, found.trading_class) == ("20260618", "CME", "MES")
    assert (found.multiplier, found.min_tick) == (5, Decimal("0.25"))


def test_the_recorded_mini_wheat_future() -> None:
    """Its symbol is not the root of its local symbol, and its price is in cents."""
    found = MASTER.by_con_id(715358256)
    assert found is not None
    assert (found.ib_symbol, found.local_symbol, found.trading_class) == ("YW", "XWZ6", "XW")
    assert (found.last_trade_date, found.multiplier, found.point_value) == ("20261214", 1000, 10)
    assert found in MASTER.futures("YW", TODAY)
    assert MASTER.futures("YW", TODAY) == MASTER.futures("XW", TODAY)


def test_the_recorded_option() -> None:
    """A put on QQQ, found by its id and by its fields."""
    found = MASTER.by_con_id(728937835)
    assert found is not None
    assert found.local_symbol == "QQQ   270115P00500000"
    assert (found.last_trade_date, found.strike, found.right, found.multiplier) == ("20270115", 500, "P", 100)
    assert MASTER.option("QQQ", date(2027, 1, 15), 500, "P") == found
    assert date(2027, 1, 15) in option_expiries(TODAY)


def test_the_e_mini_as_recorded() -> None:
    """ESM5 of wire-samples: id, underlying, last trade and market rule."""
    found = MASTER.by_symbol("ESM2025")
    assert found is not None
    assert (found.con_id, found.under_con_id, found.under_symbol) == (620731015, 11004968, "ES")
    assert (found.last_trade_date, found.last_trade_time, found.time_zone_id) == ("20250620", "08:30", "US/Central")
    assert (found.market_rule_id, found.valid_exchanges) == (67, ("CME", "QBALGO"))
    assert found in MASTER.expired_futures("ES", TODAY)


@pytest.mark.parametrize(
    ("root", "year", "month", "day"),
    [
        ("CL", 2025, 1, date(2024, 12, 19)),
        ("CL", 2020, 5, date(2020, 4, 21)),
        ("CL", 2026, 12, date(2026, 11, 20)),
        ("GC", 2024, 12, date(2024, 12, 27)),
        ("ES", 2024, 9, date(2024, 9, 20)),
        ("XW", 2026, 12, date(2026, 12, 14)),
    ],
)
def test_last_trading_days_by_the_rules(root: str, year: int, month: int, day: date) -> None:
    """Known expiries, holidays in their way or not."""
    assert last_trading_day(FUTURES[root], year, month) == day


@given(roots, days)
def test_futures_are_listed_until_they_end(root: str, today: date) -> None:
    """The listed ones end today or later, in order; the expired ones ended within two years; no one is both."""
    listed, expired = MASTER.futures(root, today), MASTER.expired_futures(root, today)
    ends = [one.last_trade_date for one in listed]
    assert ends == sorted(set(ends))
    assert len(ends) >= 8
    assert ends[0] >= f"{today:%Y%m%d}"
    assert all(f"{today - timedelta(days=733):%Y%m%d}" < one.last_trade_date < f"{today:%Y%m%d}" for one in expired)
    for one in (*listed, *expired):
        assert MASTER.by_symbol(one.symbol) == one
        assert MASTER.by_con_id(one.con_id) == one


@given(
    st.sampled_from(["AAPL", "BRK.B", "SPY", "SPX", "ZTS"]),
    days,
    st.sampled_from(LADDER),
    st.sampled_from(["C", "P"]),
    st.data(),
)
def test_an_option_is_found_by_key_and_by_id(
    under: str, today: date, strike: Decimal, right: str, data: st.DataObject
) -> None:
    """Any listed one, without a list of them."""
    expiry = data.draw(st.sampled_from(option_expiries(today)))
    found = MASTER.option(under, expiry, strike, right)
    assert found is not None
    assert len(found.symbol) == 21
    assert (found.strike, found.right, found.expiry, found.under) == (strike, right, expiry, under)
    assert MASTER.by_symbol(found.symbol) == found
    assert MASTER.by_con_id(found.con_id) == found


@given(st.integers(FIRST_OPTION_ID, 2 * FIRST_OPTION_ID - 1))
def test_any_number_is_one_option_or_none(con_id: int) -> None:
    """No two options share an id, as an id leads to one that has it."""
    found = MASTER.by_con_id(con_id)
    assert found is None or found.con_id == con_id


def test_two_masters_of_one_list_number_alike() -> None:
    """And a stock more in the list leaves the others their ids, but for a rare neighbour."""
    key = option_key("AAPL", date(2026, 12, 18), 250, "C")
    again, more = InstrumentMaster(["AAPL", "MSFT"]), InstrumentMaster(["AAPL", "MSFT", "ZZZZ"])
    assert InstrumentMaster(["AAPL", "MSFT"]).by_symbol(key) == again.by_symbol(key) == more.by_symbol(key)


def test_a_chain_around_a_price() -> None:
    """Weeklies, monthlies and Januaries; strikes from half the price to 1.6 times."""
    chain = MASTER.option_chain("AAPL", TODAY, spot=200.0)
    assert chain is not None
    assert (chain.trading_class, chain.multiplier, chain.under_con_id) == ("AAPL", 100, 265598)
    assert (chain.strikes[0], chain.strikes[-1]) == (100, 320)
    assert chain.expirations[0] == date(2026, 11, 27)
    assert {date(2026, 12, 31), date(2027, 6, 17), date(2028, 1, 21)} <= set(chain.expirations)
    assert len(list(MASTER.option_listings("AAPL", TODAY, spot=200.0))) == 2 * len(chain.strikes) * len(
        chain.expirations
    )
    assert MASTER.option_chain("EUR.USD", TODAY) is None


@pytest.mark.parametrize(
    "key", ["NOPE", "ESF2026", "AAPL  261217C00250000", "AAPL  261218C00250300", "NOPE  261218C00250000"]
)
def test_what_does_not_exist_is_not_found(key: str) -> None:
    """An unknown stock, a month without a future, a day or strike without options, options on nothing."""
    assert MASTER.by_symbol(key) is None


@pytest.mark.parametrize("key", ["AAPL", "SPY", "EUR.USD", "USD.JPY", "SPX", "ESZ2026", "CLF2027", "XWZ2026"])
def test_ticks_and_rules_go_together(key: str) -> None:
    """The market rule's finest increment is the tick, and prices have places enough for it."""
    found = listing(key)
    assert min(increment for _, increment in MARKET_RULES[found.market_rule_id]) == found.min_tick
    assert round(found.min_tick, found.price_places) == found.min_tick
