"""Whatever is asked of the engine, in whatever order: nothing is lost, nothing is doubled, nothing acts before its turn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream.simulation import watch
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.interest import Interest
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import (
    Accepted,
    Cancelled,
    Corrected,
    Event,
    Filled,
    Hours,
    Leg,
    LegFilled,
    OcaType,
    OrderType,
    Rebooked,
    Refused,
    Rejected,
    Side,
    Ticket,
    TimeInForce,
    Working,
)
from ibstream.simulation.sessions import to_ns
from ibstream.simulation.terms import terms_of

START_NS = to_ns(datetime(2026, 11, 23, 20, 40, tzinfo=UTC))
"""A Monday, 15:40 in New York: the close comes within a few minutes of steps."""
MARKET = Market(7)
CASH = Decimal(1_000_000_000)
SYMBOLS = ("AAPL", "EUR.USD", "ESZ2026", "AAPL  261218C00250000")
COMBO = (Leg(symbol="AAPL", side=Side.BUY), Leg(symbol="MSFT", side=Side.SELL, ratio=2))
PRICED = {
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("aux_price",),
    OrderType.STOP_LIMIT: ("limit_price", "aux_price"),
    OrderType.MARKET_IF_TOUCHED: ("aux_price",),
    OrderType.LIMIT_IF_TOUCHED: ("limit_price", "aux_price"),
    OrderType.LIMIT_ON_CLOSE: ("limit_price",),
}
Action = tuple[Any, ...]

sides = st.sampled_from(Side)
offsets = st.integers(-12, 12)
orders = st.tuples(
    st.just("submit"),
    st.sampled_from((*SYMBOLS, "combo")),
    sides,
    st.integers(1, 900),
    st.sampled_from(OrderType),
    st.sampled_from([TimeInForce.DAY, TimeInForce.GTC, TimeInForce.DAY, *TimeInForce]),
    offsets,
    st.sampled_from(["", "all_or_none", "untransmitted", "child", "Adaptive", "Twap", "Vwap", "outside"]),
)
groups = st.tuples(
    st.just("group"), st.sampled_from([1, 2]), st.lists(st.tuples(sides, st.integers(1, 900)), min_size=2, max_size=4)
)
picks = st.integers(0, 30)
steps = st.tuples(st.just("step"), st.sampled_from([0.25, 1, 7, 60, 900]))
others = st.one_of(
    st.tuples(st.just("cancel"), picks),
    st.tuples(st.just("modify"), picks, st.integers(1, 900), offsets),
    st.tuples(st.just("fill"), picks, st.integers(1, 900)),
    st.tuples(st.just("correct"), picks, st.integers(1, 900), offsets),
)
actions = st.lists(
    st.one_of(orders, orders, orders, groups, steps, steps, steps, others, others), min_size=3, max_size=25
)


@dataclass
class Audit:
    """Follows the events alone, and knows what must hold."""

    open: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    filled_whole: set[int] = field(default_factory=set)
    parents: dict[int, int] = field(default_factory=dict)
    executions: dict[str, tuple[int, str, Decimal, Decimal, Decimal]] = field(default_factory=dict)
    """Order, symbol, signed quantity, price, commission of what counts, by execution id."""
    combos: dict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    realized: dict[str, Decimal] = field(default_factory=dict)
    """What each of these earned, in the instrument's currency."""

    def hear(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Refused():
                    pass
                case Corrected():
                    self._correct(event)
                case Rebooked():
                    assert event.exec_id in self.executions
                    self.realized[event.exec_id] = event.realized_pnl or Decimal(0)
                case LegFilled():
                    self._book(event)
                case _:
                    self._hear_of_live(int(event.order_id), event)

    def _hear_of_live(self, order_id: int, event: Event) -> None:
        assert order_id not in self.ended, event
        if isinstance(event, Accepted):
            assert order_id not in self.open
            self.open.add(order_id)
        elif not isinstance(event, Rejected):
            assert order_id in self.open
        if isinstance(event, (Filled, Working)) and order_id in self.parents:
            assert self.parents[order_id] in self.filled_whole, "a child acted before its parent had filled"
        if isinstance(event, Filled):
            self._fill(order_id, event)
        if isinstance(event, Cancelled):
            self._end(order_id)

    def _correct(self, event: Corrected) -> None:
        order_id, symbol, signed, *_ = self.executions.pop(event.replaces)
        sign = 1 if signed > 0 else -1
        assert event.exec_id not in self.executions
        self.executions[event.exec_id] = (order_id, symbol, sign * event.quantity, event.price, event.commission)
        del self.realized[event.replaces]
        self.realized[event.exec_id] = event.realized_pnl or Decimal(0)
        if not event.remaining:
            self._end(order_id)

    def _fill(self, order_id: int, event: Filled) -> None:
        if event.combo:
            self.combos[order_id] += event.quantity
        else:
            self._book(event)
        if not event.remaining:
            self.filled_whole.add(order_id)
            self._end(order_id)

    def _book(self, event: Filled | LegFilled) -> None:
        assert event.exec_id not in self.executions
        assert event.quantity > 0
        signed = event.quantity if event.side == Side.BUY else -event.quantity
        self.executions[event.exec_id] = (int(event.order_id), event.symbol, signed, event.price, event.commission)
        self.realized[event.exec_id] = event.realized_pnl or Decimal(0)

    def _end(self, order_id: int) -> None:
        self.open.discard(order_id)
        self.ended.add(order_id)

    def filled(self, order_id: int) -> Decimal:
        if order_id in self.combos:
            return self.combos[order_id]
        return sum((abs(one[2]) for one in self.executions.values() if one[0] == order_id), Decimal(0))


class Run:
    """Plays actions on an engine and audits it after each."""

    def __init__(self, *, displayed_size: bool, hours: Hours) -> None:
        self.engine = MatchingEngine(MARKET, SimulatedAccount(CASH), displayed_size=displayed_size, hours=hours)
        self.audit = Audit()
        self.now_ns = START_NS
        self.number = 0
        self.heard: list[Event] = []
        self.groups: list[tuple[int, list[tuple[int, int]]]] = []

    def play(self, played: list[Action]) -> list[Event]:
        for kind, *details in played:
            getattr(self, f"_{kind}")(*details)
            self._check()
        return self.heard

    def _hear(self, events: list[Event]) -> None:
        self.heard += events
        self.audit.hear(events)

    def _price(self, symbol: str, offset: int) -> Decimal:
        terms = terms_of(symbol)
        tick = Decimal("0.05") if terms.security_type == "OPT" else terms.min_tick
        last = Decimal(str(MARKET.quote(symbol, self.now_ns).last))
        return max((last // tick + offset) * tick, tick)

    def _submit(
        self, symbol: str, side: Side, quantity: int, kind: OrderType, tif: TimeInForce, offset: int, extra: str
    ) -> None:
        self.number += 1
        told: dict[str, Any] = {name: self._price(self._key(symbol), offset) for name in PRICED.get(kind, ())}
        if kind in (OrderType.TRAIL, OrderType.TRAIL_LIMIT):
            told |= {"trailing_percent": Decimal("0.05"), "limit_offset": Decimal(0)}
        if kind == OrderType.TRAIL:
            told.pop("limit_offset")
        if symbol == "combo":
            told["legs"] = COMBO
        if tif == TimeInForce.GTD:
            told["good_till_ns"] = self.now_ns + 120 * 10**9
        told |= {"all_or_none": extra == "all_or_none", "transmit": extra != "untransmitted"}
        told |= {"algo": extra if extra in ("Adaptive", "Twap", "Vwap") else "", "outside_rth": extra == "outside"}
        if extra == "child" and self.audit.open:
            told["parent_id"] = self.audit.parents[self.number] = max(self.audit.open)
        self._hear(
            self.engine.submit(
                Ticket(
                    order_id=self.number,
                    symbol=symbol,
                    side=side,
                    quantity=Decimal(quantity),
                    order_type=kind,
                    time_in_force=tif,
                    **told,
                ),
                self.now_ns,
            )
        )

    def _group(self, kind: int, members: list[tuple[Side, int]]) -> None:
        """Limit orders that rest a little away from the market, so that all are there before one fills."""
        placed = []
        for side, quantity in members:
            self.number += 1
            placed.append((self.number, quantity))
            ticket = Ticket(
                order_id=self.number,
                symbol="AAPL",
                side=side,
                quantity=Decimal(quantity),
                order_type=OrderType.LIMIT,
                limit_price=self._price("AAPL", -6 if side == Side.BUY else 6),
                time_in_force=TimeInForce.GTC,
                oca_group=f"group {self.number - len(placed)}",
                oca_type=OcaType(kind),
            )
            self._hear(self.engine.submit(ticket, self.now_ns))
        self.groups.append((kind, placed))

    def _step(self, seconds: float) -> None:
        self.now_ns += int(seconds * 10**9)
        self._hear(self.engine.evaluate(self.now_ns))

    def _picked(self, pick: int) -> int:
        """One of the open orders; an id nobody knows if there are none."""
        known = sorted(self.audit.open)
        return known[pick % len(known)] if known else -1

    def _cancel(self, pick: int) -> None:
        self._hear(self.engine.cancel(self._picked(pick), self.now_ns))

    def _modify(self, pick: int, quantity: int, offset: int) -> None:
        order = self.engine.order(self._picked(pick))
        if order is None or order.ticket.oca_group:
            return
        price = None if order.ticket.limit_price is None else self._price(self._key(order.ticket.symbol), offset)
        self._hear(
            self.engine.modify(order.ticket.order_id, self.now_ns, quantity=Decimal(quantity), limit_price=price)
        )

    def _fill(self, pick: int, quantity: int) -> None:
        self._hear(self.engine.fill_now(self._picked(pick), self.now_ns, quantity=Decimal(quantity)))

    def _correct(self, pick: int, quantity: int, offset: int) -> None:
        known = sorted(self.audit.executions)
        if known:
            exec_id = known[pick % len(known)]
            symbol = self.audit.executions[exec_id][1]
            price = self._price(symbol, offset)
            self._hear(self.engine.correct(exec_id, self.now_ns, price=price, quantity=Decimal(quantity)))

    @staticmethod
    def _key(symbol: str) -> str:
        return "AAPL" if symbol == "combo" else symbol

    def _check(self) -> None:
        assert {order.ticket.order_id for order in self.engine.working} == self.audit.open
        for order in self.engine.working:
            assert order.filled == self.audit.filled(int(order.ticket.order_id))
            assert order.remaining > 0
        self._check_account()

    def _check_account(self) -> None:
        account, paid = self.engine.account, Decimal(0)
        positions: defaultdict[str, Decimal] = defaultdict(Decimal)
        earned: defaultdict[str, Decimal] = defaultdict(Decimal)
        for exec_id, (_, symbol, signed, price, commission) in self.audit.executions.items():
            positions[symbol] += signed
            earned[symbol] += self.audit.realized[exec_id]
            paid += signed * price * terms_of(symbol).multiplier + commission
        for symbol, quantity in positions.items():
            assert account.position(symbol).quantity == quantity
            assert abs(account.position(symbol).realized_pnl - earned[symbol]) < Decimal("1e-9")
        # What open futures were bought for never left the account.
        kept = account.position("ESZ2026").entry_value
        assert abs(account.cash - kept - (CASH - paid)) < Decimal("1e-9")
        assert account.balances.get("EUR", Decimal(0)) == positions["EUR.USD"]

    def check_groups(self) -> None:
        for kind, members in self.groups:
            shares = [self.audit.filled(number) / quantity for number, quantity in members]
            assert sum(shares) <= 1 + Decimal("1e-20") or any(self._corrected(number) for number, _ in members)
            if kind == OcaType.CANCEL_WITH_BLOCK:
                assert sum(1 for share in shares if share) <= 1

    def _corrected(self, number: int) -> bool:
        return any(isinstance(one, Corrected) and one.order_id == number for one in self.heard)


modes = {"displayed_size": st.booleans(), "hours": st.sampled_from(Hours)}


@settings(deadline=None, max_examples=150)
@given(actions, st.fixed_dictionaries(modes))
def test_no_fill_is_lost_or_doubled_and_the_books_agree(played: list[Action], mode: dict[str, Any]) -> None:
    """After every action: executions add up to what orders say, positions and cash to what executions say."""
    run = Run(**mode)
    run.play(played)
    run.check_groups()


@settings(deadline=None, max_examples=25)
@given(actions, st.fixed_dictionaries(modes))
def test_the_same_actions_give_the_same_events(played: list[Action], mode: dict[str, Any]) -> None:
    assert Run(**mode).play(played) == Run(**mode).play(played)


@settings(deadline=None, max_examples=60)
@given(actions, st.fixed_dictionaries(modes))
def test_passing_over_orders_that_no_tick_concerns_changes_nothing(played: list[Action], mode: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "joined", lambda _: Interest(every_tick=True, timed=True))
        everything = Run(**mode).play(played)
    assert Run(**mode).play(played) == everything
