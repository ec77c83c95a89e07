"""What is in force: scopes, counts, time, and chance that follows from a seed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from unit.gateway_emulator.desk_rig import Desk

from ibstream_gateway_emulator.control import journal
from ibstream_gateway_emulator.domain.rate import MessageRate
from ibstream_gateway_emulator.faults import connections, held, telling, verbs
from ibstream_gateway_emulator.faults.held import TooManyStatesError
from ibstream_gateway_emulator.faults.night import next_ns
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.faults.telling import commission_first, repeated
from ibstream_gateway_emulator.protocol.messages import CommissionReport, CurrentTime, OrderStatus

S = 1_000_000_000


def test_a_state_with_a_time_ends_with_it() -> None:
    faults = Faults()
    faults.apply(verbs.Freeze(for_s=2), 10 * S)
    assert faults.expire(11 * S) == []
    assert faults.is_frozen(1)
    assert faults.expire(12 * S) == [verbs.Freeze(for_s=2)]
    assert not faults.is_frozen(1)


def test_a_state_that_counts_ends_with_the_last_time() -> None:
    faults = Faults()
    faults.apply(verbs.FailHistory(count=2), 0)
    assert [faults.objection_to_history(1, "AAPL") is None for _ in range(3)] == [False, False, True]


def test_a_scope_touches_nobody_else() -> None:
    faults = Faults()
    faults.apply(verbs.MarketDataPermission(symbol="AAPL", client_id=1), 0)
    refused = {(client, symbol) for client in (1, 2) for symbol in ("AAPL", "MSFT")
               if faults.objection_to_quotes(client, symbol)}  # fmt: skip
    assert refused == {(1, "AAPL")}


def test_the_same_scope_again_replaces_and_another_stands_beside() -> None:
    faults = Faults()
    faults.apply(verbs.Delay(ms=10), 0)
    faults.apply(verbs.Delay(ms=20), 1)
    faults.apply(verbs.Delay(ms=30, client_id=2), 2)
    assert [one.verb for one in faults.in_force()] == [verbs.Delay(ms=20), verbs.Delay(ms=30, client_id=2)]
    assert faults.delay_s(1, incoming=False) == 0.02


def test_clear_of_one_verb_leaves_the_others() -> None:
    faults = Faults()
    faults.apply(verbs.Freeze(), 0)
    faults.apply(verbs.RefuseConnects(), 0)
    assert faults.apply(verbs.Clear(fault="freeze"), 1) == [verbs.Freeze()]
    assert faults.refuses_connects()


def test_a_runaway_script_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "STATES_MAX", 3)
    faults = Faults()
    for client_id in range(3):
        faults.apply(verbs.Freeze(client_id=client_id), 0)
    with pytest.raises(TooManyStatesError, match="3 faults are in force already"):
        faults.apply(verbs.Freeze(client_id=3), 0)
    faults.apply(verbs.Freeze(client_id=2, for_s=1), 0)
    assert len(list(faults.in_force())) == 3


def test_who_asks_is_told_of_states_that_are_used_up_or_replaced() -> None:
    ended: list[verbs.State] = []
    faults = Faults(ended=ended.append)
    faults.apply(verbs.FailHistory(count=5), 0)
    faults.apply(verbs.FailHistory(count=1), 0)
    assert ended == [verbs.FailHistory(count=5)]
    faults.objection_to_history(1, "AAPL")
    assert ended == [verbs.FailHistory(count=5), verbs.FailHistory(count=1)]
    faults.apply(verbs.Freeze(), 0)
    assert faults.apply(verbs.Clear(), 0) == [verbs.Freeze()]
    assert len(ended) == 2, "those are returned"


def test_what_is_remembered_of_clients_and_orders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "JITTERED_CLIENTS_MAX", 2)
    monkeypatch.setattr(telling, "UNACKNOWLEDGED_MAX", 2)
    monkeypatch.setattr(journal, "TICKED_CLIENTS_MAX", 2)
    faults, written = Faults(), journal.Journal(10)
    faults.apply(verbs.Delay(ms=0, jitter_ms=100), 0)
    for number in range(4):
        faults.delay_s(number, incoming=False)
        faults.unacknowledged.add(1, number, "never")
        written.ticked(number, 10)
    assert len(faults._jitter) == 2
    assert [(1, number) in faults.unacknowledged for number in range(4)] == [False, False, True, True]
    assert written.tick_bytes == {2: 10, 3: 10}


def test_lost_orders_that_are_forgotten_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LOST_ORDERS_MAX", 2)
    written = journal.Journal(10)
    for number in range(5):
        written.lost(number, 1, Desk().order(), "lose_order", is_change=False)
    assert [one.time_ns for one in written.lost_orders] == [3, 4]
    assert written.lost_orders_dropped == 3


def test_jitter_follows_from_the_seed_for_each_client_by_itself() -> None:
    def drawn(seed: int, client_id: int, calls: int = 3) -> list[float]:
        faults = Faults(seed)
        faults.apply(verbs.Delay(ms=0, jitter_ms=100), 0)
        faults.delay_s(9, incoming=False)
        return [faults.delay_s(client_id, incoming=False) for _ in range(calls)]

    assert drawn(7, 1) == drawn(7, 1)
    assert drawn(7, 1) != drawn(8, 1)
    assert drawn(7, 1) != drawn(7, 2)
    values = drawn(7, 1, 2_000)
    assert 0 <= min(values) < 0.002
    assert 0.098 < max(values) < 0.1


def test_nightly_restarts_come_once_a_day_also_when_clocks_change() -> None:
    """New York, 2026: clocks go forward on 8 March, so that 02:30 does not exist, and back on 1 November."""
    from datetime import UTC, datetime  # the file's one use

    verb = verbs.NightlyRestart(at="02:30")
    moment = int(datetime(2026, 3, 6, 12, tzinfo=UTC).timestamp()) * S
    nights = []
    for _ in range(4):
        moment = next_ns(verb, moment)
        nights.append(datetime.fromtimestamp(moment // S, UTC))
    assert [one.day for one in nights] == [7, 8, 9, 10]
    assert [one.hour for one in nights] == [7, 7, 6, 6]


def test_commissions_move_before_their_executions_and_nothing_else_moves() -> None:
    report = CommissionReport("x", Decimal(1), "USD")
    other = CommissionReport("y", Decimal(1), "USD")
    messages = [CurrentTime(1), other, report]
    assert commission_first(list(messages)) == messages


def test_only_order_states_are_repeated() -> None:
    state = OrderStatus(
        order_id=1, status="Filled", filled=Decimal(1), remaining=Decimal(0), average_fill_price=Decimal(1), perm_id=2,
        last_fill_price=Decimal(1), client_id=1,
    )  # fmt: skip
    assert repeated([CurrentTime(1), state], 2) == [CurrentTime(1), state, state, state]


def test_fifty_in_any_second_are_allowed_and_refused_ones_do_not_count() -> None:
    rate = MessageRate()
    assert all(rate.admits(number * 0.01, 50) for number in range(50))
    assert not rate.admits(0.999, 50)
    assert rate.received == 51
    assert rate.admits(1.0, 50)
    assert not rate.admits(1.005, 50)
    assert rate.admits(1.01, 50)
    assert (rate.violations, rate.is_over) == (2, False)
    assert not rate.admits(1.011, 50)
    assert rate.is_over
    assert rate.admits(1.011, None)
