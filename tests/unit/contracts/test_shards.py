"""The shard of a symbol is part of the contract: every consumer, in every language, computes the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ibstream.contracts.quotes import shard_of

SYMBOLS_FILE = Path(__file__).resolve().parents[3] / "config" / "symbols" / "sp500.txt"


@pytest.mark.parametrize(
    ("symbol", "of_8", "of_256"),
    # Computed with gzip, whose trailer holds the same CRC-32: printf AAPL | gzip -c | tail -c8 | od -An -tu4 -N4
    [
        ("AAPL", 4, 92),
        ("BRK.B", 4, 172),
        ("MSFT", 3, 123),
        ("SPY", 7, 255),
        ("A", 3, 139),
    ],
)
def test_golden_values(symbol: str, of_8: int, of_256: int) -> None:
    """These never change: stored streams and foreign consumers depend on them."""
    assert shard_of(symbol, 8) == of_8
    assert shard_of(symbol, 256) == of_256


def test_one_shard_takes_all() -> None:
    """With one shard there is nothing to choose."""
    assert {shard_of(symbol, 1) for symbol in ("AAPL", "BRK.B", "A")} == {0}


def test_shards_are_evenly_used() -> None:
    """No shard of the default eight gets more than twice its share of the S&P 500."""
    symbols = [line.strip() for line in SYMBOLS_FILE.read_text(encoding="utf-8").splitlines()]
    symbols = [line for line in symbols if line and not line.startswith("#")]
    counts = Counter(shard_of(symbol, 8) for symbol in symbols)
    assert set(counts) == set(range(8))
    assert max(counts.values()) <= 2 * len(symbols) / 8
