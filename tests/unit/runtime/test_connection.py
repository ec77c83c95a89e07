"""The states of a connection: the whole product of states and triggers, each allowed or impossible."""

from __future__ import annotations

from itertools import product

import pytest

from ibstream.contracts.system import ConnectionState
from ibstream.runtime.connection import ImpossibleTransitionError, Trigger, advance

S, T = ConnectionState, Trigger

# One row per state, one column per trigger, in this order; a dot is impossible.
COLUMNS = (T.CONNECT, T.CONNECTED, T.SYNCHRONISED, T.LINK_LOST, T.LINK_RESTORED, T.LOST, T.STOP)
TABLE = """
idle           connecting  .              .      .         .              .            stopped
connecting     .           synchronising  .      .         .              backing_off  stopped
synchronising  .           .              ready  degraded  synchronising  backing_off  stopped
ready          .           .              .      degraded  synchronising  backing_off  stopped
degraded       .           .              .      degraded  synchronising  backing_off  stopped
backing_off    connecting  .              .      .         .              .            stopped
stopped        connecting  .              .      .         .              .            stopped
"""
ROWS = {S(row[0]): dict(zip(COLUMNS, row[1:], strict=True)) for row in map(str.split, TABLE.strip().splitlines())}


def test_the_table_below_is_complete() -> None:
    """A new state or trigger must be decided here too."""
    assert set(ROWS) == set(S)
    assert set(COLUMNS) == set(T)


@pytest.mark.parametrize(("state", "trigger"), list(product(S, T)))
def test_every_pair(state: ConnectionState, trigger: Trigger) -> None:
    """The step that the table says, or an error that names both."""
    expected = ROWS[state][trigger]
    if expected == ".":
        with pytest.raises(ImpossibleTransitionError, match=f"{trigger} cannot happen in state {state}"):
            advance(state, trigger)
    else:
        assert advance(state, trigger) is S(expected)


def test_every_state_can_be_reached_and_left() -> None:
    """No state is a trap, and none is decoration."""
    reached = {S(target) for row in ROWS.values() for target in row.values() if target != "."}
    assert reached | {S.IDLE} == set(S)
    assert all(any(target not in {".", state} for target in row.values()) for state, row in ROWS.items())
