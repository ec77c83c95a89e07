"""Symbols on the way to IBKR and back."""

from __future__ import annotations

import pytest

from ibstream.ibkr.contracts import from_ib_symbol, to_ib_symbol
from ibstream.runtime.settings import find_config_dir


@pytest.mark.parametrize(("ours", "theirs"), [("AAPL", "AAPL"), ("BRK.B", "BRK B"), ("BF.B", "BF B")])
def test_a_share_class_stands_behind_a_space_at_ibkr(ours: str, theirs: str) -> None:
    """And behind a dot everywhere else."""
    assert to_ib_symbol(ours) == theirs
    assert from_ib_symbol(theirs) == ours


def test_every_listed_symbol_comes_back_as_it_went() -> None:
    """What is ordered as `BRK.B` is filled as `BRK.B`."""
    lines = (find_config_dir() / "symbols" / "sp500.txt").read_text().splitlines()
    symbols = [line.split("#")[0].strip() for line in lines]
    assert sum(map(bool, symbols)) > 400
    assert all(from_ib_symbol(to_ib_symbol(symbol)) == symbol for symbol in symbols)
