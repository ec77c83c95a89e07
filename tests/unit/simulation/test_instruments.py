"""The facts of every stock follow from its symbol."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibstream.runtime.symbols import load_symbols
from ibstream.simulation.instruments import InstrumentMaster, listing

SYMBOL_LIST = Path(__file__).parents[3] / "config" / "symbols" / "sp500.txt"


def test_the_shipped_list_has_no_two_stocks_of_one_contract_id() -> None:
    symbols = load_symbols(SYMBOL_LIST)
    master = InstrumentMaster(symbols)
    assert len(master) == len(symbols) >= 500
    for one in master:
        assert master.by_con_id(one.con_id) is one
        assert 0 < one.con_id < 2**31
        assert "\\" not in one.long_name


@pytest.mark.parametrize(("symbol", "con_id"), [("AAPL", 265598), ("TSLA", 76792991), ("AMZN", 3691937)])
def test_contract_ids_known_from_recorded_sessions_are_kept(symbol: str, con_id: int) -> None:
    assert listing(symbol).con_id == con_id
    assert (listing(symbol).primary_exchange, listing(symbol).trading_class) == ("NASDAQ", "NMS")


def test_a_share_class_is_found_in_both_forms() -> None:
    master = InstrumentMaster(["BRK.B", "AAPL"])
    found = master.by_symbol("BRK.B")
    assert found is not None
    assert found is master.by_symbol("BRK B")
    assert (found.symbol, found.ib_symbol, found.primary_exchange) == ("BRK.B", "BRK B", "NYSE")


def test_search_gives_the_exact_symbol_first() -> None:
    master = InstrumentMaster(["AA", "AAPL", "A", "MSFT"])
    assert [one.symbol for one in master.matching("a")] == ["A", "AA", "AAPL"]
    assert [one.symbol for one in master.matching("apple")] == ["AAPL"]
    assert master.matching("") == []
