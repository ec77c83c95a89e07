"""What is held, what works, and how many orders there are: what a new order is added to. Pure."""

from __future__ import annotations

from collections import Counter, deque
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side, SubmitOrder

ZERO = Decimal(0)

RATE_WINDOW_S = 1.0

ORDERS_COUNTED_MAX = 100_000
"""So many orders in one second are counted; more do not go out."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has of one instrument."""

    position: Decimal = ZERO
    """By fills; negative for a short position."""
    working_buy: Decimal = ZERO
    """What is left to fill of the orders on that side, those on their way included."""
    working_sell: Decimal = ZERO

    def reduces(self, side: Side, quantity: Decimal) -> bool:
        """Whether so much more on this side only makes the position smaller, whatever of the rest fills.

        The side is opposite to the position, and with all that works on that side it is no more than the position.
        """
        if not self.position or (side is Side.BUY) is (self.position > 0):
            return False
        working = self.working_buy if side is Side.BUY else self.working_sell
        return quantity + working <= abs(self.position)

    def at_worst(self, side: Side, quantity: Decimal) -> Decimal:
        """The position once so much more, and all that works on that side, has filled; and nothing of the other side."""
        if side is Side.BUY:
            return self.position + self.working_buy + quantity
        return self.position - self.working_sell - quantity

    def with_working(self, side: Side, quantity: Decimal) -> Holding:
        """The same with so much more at work on that side; less, with a negative quantity."""
        if side is Side.BUY:
            return msgspec.structs.replace(self, working_buy=self.working_buy + quantity)
        return msgspec.structs.replace(self, working_sell=self.working_sell + quantity)


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of ours that an order is judged by, without the order itself."""

    account: Holding = Holding()
    """Of the order's instrument, by all strategies."""
    strategy: Holding = Holding()
    """Of the order's instrument, by the order's strategy."""
    legs: tuple[Holding, ...] = ()
    """For a combo: the account's holding of each leg, in their order. Empty where it is not known."""
    account_open_orders: int = 0
    strategy_open_orders: int = 0
    account_orders_last_s: int = 0
    """Sent in the last second."""
    strategy_orders_last_s: int = 0
    daily_pnl: Decimal | None = None
    """The account's profit and loss since the last close, in its base currency; None where IBKR has not told it yet."""

    def reduces(self, request: SubmitOrder, quantity: Decimal) -> bool:
        """Whether an order for so much only makes what the account holds smaller; a combo, what it holds of each leg."""
        legs = request.instrument.legs
        if not legs:
            return self.account.reduces(request.side, quantity)
        return len(self.legs) == len(legs) and all(
            held.reduces(leg_side(request.side, leg.side), quantity * leg.ratio)
            for held, leg in zip(self.legs, legs, strict=True)
        )

    def reduces_own(self, request: SubmitOrder, quantity: Decimal) -> bool:
        """Whether an order for so much only makes what its strategy holds smaller; not told of combos."""
        return not request.instrument.legs and self.strategy.reduces(request.side, quantity)


def leg_side(side: Side, leg: Side) -> Side:
    """What a combo's order does to a leg: as the leg says for a BUY, the opposite for a SELL."""
    if side is Side.BUY:
        return leg
    return Side.SELL if leg is Side.BUY else Side.BUY


def after(exposure: Exposure, request: SubmitOrder, *, same_instrument: bool = True) -> Exposure:
    """The exposure of a next order of the same strategy, once this one works: in its instrument, or in another one."""
    counted = msgspec.structs.replace(
        exposure,
        account_open_orders=exposure.account_open_orders + 1,
        strategy_open_orders=exposure.strategy_open_orders + 1,
        account_orders_last_s=exposure.account_orders_last_s + 1,
        strategy_orders_last_s=exposure.strategy_orders_last_s + 1,
    )
    return with_working(counted, request, request.quantity) if same_instrument else counted


def with_working(exposure: Exposure, request: SubmitOrder, quantity: Decimal) -> Exposure:
    """The exposure with so much more of an order at work; with less, for a negative quantity: to judge a change, what is
    left of its order is taken out first."""
    legs = zip(exposure.legs, request.instrument.legs, strict=False)
    return msgspec.structs.replace(
        exposure,
        account=exposure.account.with_working(request.side, quantity),
        strategy=exposure.strategy.with_working(request.side, quantity),
        legs=tuple(held.with_working(leg_side(request.side, leg.side), quantity * leg.ratio) for held, leg in legs),
    )


class OrderRate:
    """How many orders went out in the last second, altogether and by strategy. Times are of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, str]] = deque()
        self._by_strategy: Counter[str] = Counter()

    def count(self, strategy: str, at: float) -> None:
        """An order goes out."""
        self._forget(at)
        if len(self._sent) < ORDERS_COUNTED_MAX:
            self._sent.append((at, strategy))
            self._by_strategy[strategy] += 1

    def of_account(self, at: float) -> int:
        """Orders of all strategies in the second before."""
        self._forget(at)
        return len(self._sent)

    def of_strategy(self, strategy: str, at: float) -> int:
        """Orders of one strategy in the second before."""
        self._forget(at)
        return self._by_strategy[strategy]

    def _forget(self, at: float) -> None:
        while self._sent and self._sent[0][0] <= at - RATE_WINDOW_S:
            _, strategy = self._sent.popleft()
            self._by_strategy[strategy] -= 1
            if not self._by_strategy[strategy]:
                del self._by_strategy[strategy]
