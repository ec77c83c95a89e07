"""The requests of one storm: every kind, of several strategies, with repetitions and mistakes among them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random  # noqa: TID251 - seeded, so that a storm can be had again
from typing import Any

import msgspec
from contract.brokers import combo, future, option, pair

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    GroupKind,
    ModifyOrder,
    OcaType,
    OrderRequest,
    OrderType,
    Side,
    SubmitGroup,
    SubmitOrder,
    TimeInForce,
    WhatIf,
)

STRATEGIES = ("momentum", "pairs", "carry")
STOCKS = ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN")

NO_ORDER = "never-asked-for"
"""A client order id under which nothing was ever asked for."""

GARBAGE = b'{"type":"orders.submit.v1","client_order_id":42'
"""The data of an entry that nobody can read."""

VALID_S = (3.0, 8.0)
"""How long requests are valid. One that is lost is given up some time after that, and the storm waits for it."""

_ONE_IN = {"repeated": 14, "changed": 6, "cancelled": 6, "asked what if": 30, "wrong": 40, "bracket": 25, "oca": 40}
"""What happens to how many of the orders."""


@dataclass(frozen=True)
class Asked:
    """One entry of the requests' stream."""

    at_s: float
    """Seconds since the storm began."""
    request: OrderRequest | bytes
    """Bytes that are no request are for the dead letters."""
    valid_for_s: float = 0.0
    """From the moment in which it is written; 0: as long as the broker's settings say, and cancels for ever."""

    def at(self, now: datetime, until: datetime | None) -> OrderRequest:
        """The request as it is written then."""
        assert not isinstance(self.request, bytes)
        if isinstance(self.request, SubmitGroup):
            orders = tuple(msgspec.structs.replace(one, requested_at=now) for one in self.request.orders)
            return msgspec.structs.replace(self.request, orders=orders, requested_at=now, valid_until=until)
        if isinstance(self.request, WhatIf):
            order = msgspec.structs.replace(self.request.order, requested_at=now)
            return msgspec.structs.replace(self.request, order=order, requested_at=now, valid_until=until)
        return msgspec.structs.replace(self.request, requested_at=now, valid_until=until)


class _Kind:
    """An instrument, and prices on its tick at which it never and at which it always trades."""

    def __init__(self, instrument: Instrument, low: str, high: str, quantity: int, *, types: str = "all") -> None:
        self.instrument = instrument
        self.low, self.high = Decimal(low), Decimal(high)
        self.quantity = quantity
        self.is_combo = types == "combo"

    def never(self, side: Side) -> Decimal:
        """A limit that rests."""
        return self.low if side is Side.BUY else self.high

    def always(self, side: Side) -> Decimal:
        """A limit that is met at once."""
        return self.high if side is Side.BUY else self.low


def _kinds() -> list[_Kind]:
    """Mostly stocks."""
    stocks = [_Kind(Instrument(symbol=symbol), "1.00", "9000.00", 20) for symbol in STOCKS]
    return [
        *(stocks * 4),
        _Kind(pair(), "0.50", "2.00", 3000),
        _Kind(future(), "1000.00", "20000.00", 2),
        _Kind(option(), "0.05", "500.00", 3),
        # Routed by SMART a combination's margin cannot be asked for, which is for what-ifs alone.
        _Kind(combo(), "-9000.00", "9000.00", 5, types="combo"),
    ]


def requests(random: Random, *, seed: int, orders: int, storm_s: float, at: datetime) -> tuple[Asked, ...]:
    """At least `orders` new orders, and what is asked about them, by time."""
    return _Writer(random, seed, storm_s, at).write(orders)


class _Writer:
    def __init__(self, random: Random, seed: int, storm_s: float, at: datetime) -> None:
        self._random = random
        self._seed = seed
        self._storm_s = storm_s
        self._at = at
        self._kinds = _kinds()
        self._asked: list[Asked] = []
        self._orders = 0

    def write(self, orders: int) -> tuple[Asked, ...]:
        while self._orders < orders:
            at_s = self._random.uniform(0.0, self._storm_s)
            if self._one_in("bracket"):
                self._group(at_s, self._bracket())
            elif self._one_in("oca"):
                self._group(at_s, self._oca())
            else:
                self._single(at_s)
        self._besides()
        return tuple(sorted(self._asked, key=lambda one: one.at_s))

    def _one_in(self, what: str) -> bool:
        return self._random.randrange(_ONE_IN[what]) == 0

    def _put(self, at_s: float, request: OrderRequest | bytes, *, valid: bool = True) -> None:
        left_s = max(VALID_S[0], self._storm_s - at_s)  # so that the last is given up soon after the storm
        valid_for_s = round(min(self._random.uniform(*VALID_S), left_s), 2) if valid else 0.0
        self._asked.append(Asked(round(at_s, 3), request, valid_for_s))

    def _soon(self, at_s: float) -> float:
        return at_s + self._random.uniform(0.0, 1.5)

    def _name(self) -> str:
        self._orders += 1
        return f"s{self._seed}-{self._orders:04d}"

    # Orders.

    def _single(self, at_s: float) -> None:
        order = self._order(self._random.choice(self._kinds))
        if self._one_in("wrong"):
            order = msgspec.structs.replace(order, **self._mistake(order))
        self._put(at_s, order)
        if self._one_in("repeated"):
            again = (
                order if self._random.random() < 0.5 else msgspec.structs.replace(order, quantity=order.quantity + 1)
            )
            self._put(self._soon(at_s), again)
        if self._one_in("asked what if"):
            self._put(self._soon(at_s), WhatIf(order=order, requested_at=self._at))
        self._afterwards(at_s, order)

    def _afterwards(self, at_s: float, order: SubmitOrder) -> None:
        name = order.client_order_id
        if self._one_in("changed"):
            self._put(self._soon(at_s), self._change(order))
        if self._one_in("cancelled"):
            self._put(self._soon(at_s), CancelOrder(client_order_id=name, requested_at=self._at), valid=False)

    def _order(self, kind: _Kind, **details: Any) -> SubmitOrder:
        side = self._random.choice((Side.BUY, Side.SELL))
        told: dict[str, Any] = {
            "client_order_id": self._name(),
            "strategy": self._random.choice(STRATEGIES),
            "instrument": kind.instrument,
            "side": side,
            "quantity": Decimal(self._random.randint(1, kind.quantity)),
            "requested_at": self._at,
        }
        return SubmitOrder(**{**told, **self._terms(kind, side), **details})

    def _terms(self, kind: _Kind, side: Side) -> dict[str, Any]:
        """Order type, prices and time in force: some fill at once, some rest, some wait for a price."""
        never, always = kind.never(side), kind.always(side)
        types: list[tuple[int, dict[str, Any]]] = [
            (6, {"order_type": OrderType.MARKET}),
            (8, {"order_type": OrderType.LIMIT, "limit_price": never}),
            (4, {"order_type": OrderType.LIMIT, "limit_price": never, "time_in_force": TimeInForce.GTC}),
            (5, {"order_type": OrderType.LIMIT, "limit_price": always}),
            (2, {"order_type": OrderType.LIMIT, "limit_price": always, "time_in_force": TimeInForce.IOC}),
            (2, {"order_type": OrderType.LIMIT, "limit_price": never, "time_in_force": TimeInForce.IOC}),
            (1, {"order_type": OrderType.LIMIT, "limit_price": always, "time_in_force": TimeInForce.FOK}),
        ]
        if kind.instrument.security_type == "STK":
            types += [
                (2, {"order_type": OrderType.STOP, "stop_price": always}),
                (1, {"order_type": OrderType.STOP, "stop_price": never}),
                (1, {"order_type": OrderType.STOP_LIMIT, "stop_price": always, "limit_price": always}),
                (1, {"order_type": OrderType.TRAIL, "trailing_percent": Decimal(20)}),
                (1, {"order_type": OrderType.MARKET_IF_TOUCHED, "stop_price": never}),
                (1, {"order_type": OrderType.LIMIT_IF_TOUCHED, "stop_price": never, "limit_price": never}),
            ]
        [terms] = self._random.choices([terms for _, terms in types], [weight for weight, _ in types])
        return terms

    def _mistake(self, order: SubmitOrder) -> dict[str, Any]:
        return self._random.choice(
            (
                {"quantity": Decimal("1.5")},
                {"quantity": Decimal(0)},
                {"account": "DU7654321"},
                {"instrument": Instrument(symbol="NOSUCH")},
                {"order_type": OrderType.LIMIT, "limit_price": Decimal("10.001"), "stop_price": None}
                if order.instrument.security_type == "STK"
                else {"quantity": Decimal(-1)},
            )
        )

    def _change(self, order: SubmitOrder) -> ModifyOrder:
        changes: dict[str, Any] = {"quantity": order.quantity + self._random.randint(-2, 5)}
        if order.limit_price is not None and self._random.random() < 0.5:
            step = order.limit_price / 10 if order.instrument.security_type == "STK" else Decimal(0)
            changes = {"limit_price": order.limit_price + step} if step else changes
        return ModifyOrder(client_order_id=order.client_order_id, requested_at=self._at, **changes)

    # Groups.

    def _group(self, at_s: float, group: SubmitGroup) -> None:
        self._put(at_s, group)
        if self._one_in("repeated"):
            self._put(self._soon(at_s), group)
        self._afterwards(at_s, self._random.choice(group.orders))

    def _bracket(self) -> SubmitGroup:
        kind = self._random.choice([one for one in self._kinds if one.instrument.security_type == "STK"])
        limit = {"order_type": OrderType.LIMIT, "stop_price": None, "trailing_percent": None}
        opening = self._random.choice((kind.always, kind.never))
        parent = self._order(kind, time_in_force=TimeInForce.DAY)
        parent = msgspec.structs.replace(parent, **limit, limit_price=opening(parent.side))
        side = Side.SELL if parent.side is Side.BUY else Side.BUY
        common = {"side": side, "strategy": parent.strategy, "quantity": parent.quantity, "limit_price": None}
        target = self._order(
            kind, **{**common, "time_in_force": TimeInForce.GTC, **limit, "limit_price": kind.never(side)}
        )
        stop = self._order(
            kind,
            **{**common, "time_in_force": TimeInForce.GTC, "trailing_percent": None},
            order_type=OrderType.STOP,
            stop_price=kind.always(side),
        )
        return self._grouped(GroupKind.BRACKET, (parent, target, stop), OcaType.CANCEL)

    def _oca(self) -> SubmitGroup:
        kind = self._random.choice([one for one in self._kinds if one.instrument.security_type == "STK"])
        strategy = self._random.choice(STRATEGIES)
        prices: list[Callable[[Side], Decimal]] = [
            kind.never,
            kind.never,
            self._random.choice((kind.always, kind.never)),
        ]
        members = []
        for price in prices:
            order = self._order(kind, strategy=strategy, time_in_force=TimeInForce.DAY)
            terms = {"order_type": OrderType.LIMIT, "stop_price": None, "trailing_percent": None}
            members.append(msgspec.structs.replace(order, **terms, limit_price=price(order.side)))
        return self._grouped(GroupKind.OCA, tuple(members), self._random.choice((OcaType.CANCEL, OcaType.REDUCE)))

    def _grouped(self, kind: GroupKind, orders: tuple[SubmitOrder, ...], oca_type: OcaType) -> SubmitGroup:
        group_id = f"g-{orders[0].client_order_id}"
        return SubmitGroup(group_id=group_id, kind=kind, oca_type=oca_type, orders=orders, requested_at=self._at)

    # Everything else.

    def _besides(self) -> None:
        """Cancel-alls, a cancel of nothing, and entries that nobody can read."""
        random, at = self._random, self._at
        for wanted in (
            CancelAllOrders(strategy=random.choice(STRATEGIES), requested_at=at),
            CancelAllOrders(symbol=random.choice(STOCKS), requested_at=at),
            CancelAllOrders(instrument=Instrument(symbol=random.choice(STOCKS)), requested_at=at),
            CancelOrder(client_order_id=NO_ORDER, requested_at=at),
        ):
            self._put(random.uniform(0.2, 0.9) * self._storm_s, wanted, valid=False)
        for _ in range(2):
            self._put(random.uniform(0.0, self._storm_s), GARBAGE, valid=False)
