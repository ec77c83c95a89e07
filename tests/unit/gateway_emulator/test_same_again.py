"""The same seed and the same times give the same prices, bars and fills, in whatever process."""

from __future__ import annotations

import os
import subprocess
import sys

from unit.gateway_emulator import whole_run

SEED = 7


def in_another_process(hash_salt: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_salt}
    command = [sys.executable, "-m", whole_run.__name__, str(SEED)]
    ended = subprocess.run(command, env=environment, capture_output=True, check=True, text=True, timeout=60)
    return ended.stdout.splitlines()


def test_two_processes_tell_the_same() -> None:
    """Prices, books, greeks, bars of several sizes and kinds, and every message of orders that fill, line by line.

    Also in a process that has long been asked for other things, and whatever Python salts its own hashes with.
    """
    here = list(whole_run.lines(SEED))
    assert in_another_process("1") == here
    assert in_another_process("2") == here


def test_there_are_fills_to_compare() -> None:
    """Large orders fill in parts over many ticks, a stop is triggered, one order rests until it is cancelled."""
    told = list(whole_run.fills(SEED))
    assert sum(line.startswith("ExecDetails") for line in told) > 10
    assert sum(line.startswith("CommissionReport") for line in told) > 10
    assert any(line.startswith("OrderStatus") and "Cancelled" in line for line in told)
    assert any(line.startswith("TickPrice") for line in told)


def test_another_seed_tells_something_else() -> None:
    """All three: prices, bars and fills."""
    for told in (whole_run.prices, whole_run.bars, whole_run.fills):
        assert list(told(SEED)) != list(told(SEED + 1))
