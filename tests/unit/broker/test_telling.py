"""What of IBKR's reports is news, and how often it is told."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.broker.stories import NOW

from ibstream.contracts.base import Message
from ibstream.contracts.portfolio import PnlChanged, PositionChanged
from ibstream.contracts.registry import account_key, pnl_key, positions_key
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    PnlReported,
    PortfolioInput,
    PositionReported,
    PositionsListed,
)
from ibstream_broker.domain.telling import PNL_INTERVAL, PNL_KEPT_FOR, Telling, Told

HALF = PNL_INTERVAL / 2


def pnl(unrealized: int, con_id: int = 0) -> PnlReported:
    return PnlReported(account="DU1", con_id=con_id, unrealized=Decimal(unrealized))


def position(quantity: int, con_id: int = 1) -> PositionReported:
    return PositionReported(
        account="DU1",
        con_id=con_id,
        symbol="AAPL",
        security_type="STK",
        currency="USD",
        quantity=Decimal(quantity),
        average_cost=Decimal(50),
    )


def value(amount: int) -> AccountValueReported:
    return AccountValueReported(account="DU1", tag="NetLiquidation", value=str(amount), currency="USD")


def listed(*positions: PositionReported) -> PositionsListed:
    return PositionsListed(account="DU1", positions=list(positions))


class Hashes:
    """Carries plans out, as Redis would."""

    def __init__(self) -> None:
        self.told = Told()
        self.hashes: dict[str, dict[str, Message]] = {}
        self.events: list[Message] = []

    def tell(self, *reports: PortfolioInput, after: timedelta = timedelta(0), fails: bool = False) -> Telling:
        """Plan, and write: once, or a second time because the first one's reply was lost."""
        now = NOW + after
        for _ in range(2 if fails else 1):
            plan = self.told.plan(reports, now)
            self.events += plan.events
            for key, write in plan.hashes.items():
                fields = {} if write.replaced else self.hashes.get(key, {})
                kept = {name: message for name, message in fields.items() if name not in write.removed}
                self.hashes[key] = kept | write.fields
        self.told.done(plan, now)
        return plan

    def pnl(self) -> list[int]:
        """What was told of profits, in order."""
        return [
            int(one.unrealized) for one in self.events if isinstance(one, PnlChanged) and one.unrealized is not None
        ]


def test_profits_are_told_once_a_second_and_the_last_one_in_the_end() -> None:
    """IBKR says them every second of every position: what comes in between is merged, and does not get lost."""
    redis = Hashes()
    redis.tell(pnl(1))
    redis.tell(pnl(2), after=HALF)
    redis.tell(pnl(3), after=HALF)
    assert redis.pnl() == [1]
    assert redis.told.due_at() == NOW + PNL_INTERVAL
    redis.tell(after=PNL_INTERVAL)
    assert (redis.pnl(), redis.told.due_at()) == ([1, 3], None)


def test_a_profit_that_came_back_to_what_was_told_is_not_told_again() -> None:
    """And nothing waits any more."""
    redis = Hashes()
    redis.tell(pnl(1))
    redis.tell(pnl(2), after=HALF)
    redis.tell(pnl(1), after=HALF)
    assert (redis.pnl(), redis.told.due_at()) == ([1], None)


def test_one_instruments_profit_does_not_wait_for_anothers() -> None:
    """Each field has its own second."""
    redis = Hashes()
    redis.tell(pnl(1, con_id=1))
    redis.tell(pnl(2, con_id=2), after=HALF)
    assert redis.pnl() == [1, 2]


def test_of_several_reports_in_a_batch_the_last_is_told() -> None:
    """A burst of fills is one change of a position."""
    redis = Hashes()
    redis.tell(position(1), value(5), position(2), position(3), value(6))
    assert len(redis.events) == 2


@pytest.mark.parametrize("held_before", [False, True])
def test_nothing_held_is_news_only_where_something_was(held_before: bool) -> None:
    """Once the account was listed, a zero of something unheard of says nothing."""
    redis = Hashes()
    redis.tell(listed(*[position(5)] * held_before))
    before = len(redis.events)
    redis.tell(position(0))
    redis.tell(position(0))
    assert len(redis.events) - before == held_before


def test_profits_of_what_was_sold_stay_for_the_day() -> None:
    """They say what was realized; after a day they go, from memory too."""
    redis = Hashes()
    redis.tell(listed(position(5)), pnl(7, con_id=1), pnl(9))
    redis.tell(listed(), after=PNL_KEPT_FOR)
    assert set(redis.hashes[pnl_key("DU1")]) == {"0", "1"}
    redis.tell(listed(), after=2 * PNL_KEPT_FOR)
    assert set(redis.hashes[pnl_key("DU1")]) == {"0"}


REPORTS = st.one_of(
    st.builds(position, st.integers(-2, 2), st.integers(1, 3)),
    st.builds(value, st.integers(0, 3)),
    st.builds(pnl, st.integers(0, 3), st.integers(0, 2)),
    st.lists(st.integers(1, 3), unique=True).map(lambda ids: listed(*(position(1, con_id) for con_id in ids))),
)


@given(st.lists(st.tuples(st.lists(REPORTS, max_size=5), st.booleans()), max_size=12))
def test_the_hashes_hold_the_latest_in_the_end_however_the_reports_are_cut_into_batches(
    batches: list[tuple[list[PortfolioInput], bool]],
) -> None:
    """Also where a write was tried twice; and the last event of each position says what the hash says."""
    redis = Hashes()
    for number, (reports, fails) in enumerate(batches):
        redis.tell(*reports, after=number * HALF, fails=fails)
    redis.tell(after=len(batches) * HALF + PNL_INTERVAL)
    positions: dict[str, Decimal] = {}
    values, profits = {}, {}
    for report in (report for reports, _ in batches for report in reports):
        match report:
            case PositionReported():
                positions[str(report.con_id)] = report.quantity
            case PositionsListed():
                positions = {str(one.con_id): one.quantity for one in report.positions}
            case AccountValueReported():
                values[f"{report.tag}:{report.currency}"] = report.value
            case PnlReported():
                profits[str(report.con_id)] = report.unrealized
    held = {name: quantity for name, quantity in positions.items() if quantity}

    def hashed(key: str, what: str) -> dict[str, object]:
        return {name: getattr(one, what) for name, one in redis.hashes.get(key, {}).items()}

    assert hashed(positions_key("DU1"), "quantity") == held
    assert hashed(account_key("DU1"), "value") == values
    assert hashed(pnl_key("DU1"), "unrealized") == profits
    last = {str(one.con_id): one.quantity for one in redis.events if isinstance(one, PositionChanged)}
    assert {name: quantity for name, quantity in last.items() if quantity} == held
