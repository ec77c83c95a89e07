"""What goes wrong in one storm besides the death of brokers: at the Gateway, on the way to it, behind it, and in Redis. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random  # noqa: TID251 - seeded, so that a storm can be had again

from faults.storm_requests import Asked

from ibstream.contracts.orders import OrderType, SubmitOrder, TimeInForce
from ibstream_gateway_emulator.faults import verbs

BROKER = 1
"""The broker's client id."""

OTHER = 41
"""The client id of somebody else who trades the same account."""

OF_SESSIONS = 3
"""Disturbances of a storm that end a session or the link, or Redis: more of them, and hardly an order would be sent."""

LATE = 0.6
"""Share of the storm before which no connection falls silent: until that is noticed, and made good, hardly an order is sent."""

OF_ORDERS = 7
"""Those that do not, besides fills."""

ON_THE_WAY_S = 0.2
"""How long the Gateway reads nothing around the moment at which it loses its link: what is on its way then is kept, or lost."""

FILLS = 25
"""Orders that the market fills, or IBKR ends, at a moment of the storm's choice."""


@dataclass(frozen=True)
class RedisDies:
    """SIGKILL, and a new start on the same data."""

    down_s: float


@dataclass(frozen=True)
class CorrectOne:
    """One of the executions so far is corrected."""

    pick: float
    """Which, as a share of all: 0 the first, almost 1 the last."""
    price: Decimal | None = None
    quantity: Decimal | None = None


@dataclass(frozen=True)
class OthersTrade:
    """Another client of the account places orders of its own, some of which rest."""

    orders: int


Event = verbs.Verb | RedisDies | CorrectOne | OthersTrade


@dataclass(frozen=True)
class Disturbance:
    """What happens at a moment, in its order."""

    at_s: float
    """Seconds since the storm began."""
    kind: str
    event: Event


def disturbances(random: Random, *, seed: int, asked: Sequence[Asked], storm_s: float) -> tuple[Disturbance, ...]:
    """By time. Kinds come by turns, so that a few seeds have had all of them."""
    chosen = _by_turns(_SESSION_KINDS, seed, OF_SESSIONS) + _by_turns(_ORDER_KINDS, seed, OF_ORDERS)
    found = []
    for kind in chosen:
        earliest = LATE if kind == "half open" else 0.05
        found += KINDS[kind](_Moment(random, kind, random.uniform(earliest, 0.9) * storm_s))
    found += _befallen(random, asked, storm_s)
    return tuple(sorted(found, key=lambda one: one.at_s))


def _by_turns(kinds: Mapping[str, _Make], seed: int, count: int) -> list[str]:
    names = list(kinds)
    return [names[(seed * count + number) % len(names)] for number in range(count)]


@dataclass(frozen=True)
class _Moment:
    random: Random
    kind: str
    at_s: float

    def of(self, *events: Event) -> list[Disturbance]:
        return [Disturbance(round(self.at_s, 3), self.kind, event) for event in events]

    def late(self, after_s: float, event: Event) -> Disturbance:
        return Disturbance(round(self.at_s + after_s, 3), self.kind, event)

    def later(self, first: Event, after_s: float, second: Event) -> list[Disturbance]:
        return [*self.of(first), self.late(after_s, second)]

    def some(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def between(self, least: float, most: float) -> float:
        return round(self.random.uniform(least, most), 3)

    def chance(self, share: float = 0.5) -> bool:
        return self.random.random() < share


def _link(moment: _Moment, *, data_lost: bool) -> list[Disturbance]:
    lost = verbs.LoseLink(keeps_orders=moment.chance(0.7))
    back = verbs.RestoreLink(data_lost=data_lost, tells_missed=moment.chance())
    frozen = moment.later(verbs.Freeze(for_s=ON_THE_WAY_S), ON_THE_WAY_S / 2, lost)
    return [*frozen, moment.late(moment.between(ON_THE_WAY_S + 0.1, 0.9), back)]


_Make = Callable[[_Moment], list[Disturbance]]

_SESSION_KINDS: dict[str, _Make] = {
    "gateway drops": lambda at: at.of(verbs.DropConnection(client_id=None, abortive=at.chance())),
    "gateway restarts": lambda at: at.of(
        verbs.Restart(
            down_s=at.between(0.1, 0.8), deaf_s=at.between(0.0, 0.2), roll_back_order_ids=at.some(0, 1) * at.some(1, 30)
        )
    ),
    "half open": lambda at: at.later(
        verbs.HalfOpen(client_id=None, keeps_client_id=at.chance()),
        at.between(1.0, 2.0),
        verbs.Clear(fault="half_open"),
    ),
    "freeze": lambda at: at.of(verbs.Freeze(for_s=at.between(0.2, 3.0))),
    "1100 and 1102": lambda at: _link(at, data_lost=False),
    "1100 and 1101": lambda at: _link(at, data_lost=True),
    "redis dies": lambda at: at.of(RedisDies(down_s=at.between(0.0, 1.2))),
}

_ORDER_KINDS: dict[str, _Make] = {
    "acknowledgements lost": lambda at: at.of(
        verbs.LoseAcknowledgement(client_id=BROKER, count=at.some(1, 4), until="reconnect" if at.chance() else "never")
    ),
    "orders lost": lambda at: at.of(verbs.LoseOrder(client_id=BROKER, count=at.some(1, 3))),
    "orders not listed": lambda at: at.of(
        verbs.LoseAcknowledgement(client_id=BROKER, count=at.some(2, 6), until="never"),
        verbs.OmitOrders(client_id=BROKER, for_s=at.between(1.0, 4.0)),
    ),
    "statuses twice": lambda at: at.of(verbs.DuplicateOrderStatus(copies=at.some(1, 3), for_s=at.between(0.5, 3.0))),
    "commission first": lambda at: at.of(verbs.CommissionBeforeExecution(for_s=at.between(0.5, 3.0))),
    "corrections": lambda at: at.of(
        *(CorrectOne(pick=at.between(0.0, 0.999), price=Decimal(at.some(1, 900))) for _ in range(3)),
        *(CorrectOne(pick=at.between(0.0, 0.999), quantity=Decimal(1)) for _ in range(2)),
    ),
    "rejections": lambda at: at.of(verbs.RejectOrders(client_id=BROKER, count=at.some(1, 4))),
    "warnings": lambda at: at.of(
        verbs.OrderWarning(client_id=BROKER, code=399, count=at.some(1, 4)),
        verbs.OrderWarning(client_id=BROKER, code=10349, symbol="AAPL", count=at.some(1, 4)),
    ),
    "cancels refused": lambda at: at.of(
        verbs.CancelError(client_id=BROKER, code=161 if at.chance() else 10148, count=at.some(1, 2))
    ),
    "order ids roll back": lambda at: at.of(verbs.RollBackOrderIds(by=at.some(1, 40), client_id=BROKER)),
    "delays": lambda at: at.of(
        verbs.Delay(ms=at.between(1, 60), jitter_ms=at.between(0, 60), direction="both", for_s=at.between(0.5, 2.5))
    ),
    "messages in pieces": lambda at: at.of(verbs.SplitWrites(size=at.some(1, 40), for_s=at.between(0.5, 2.0))),
    "others trade": lambda at: at.of(OthersTrade(orders=at.some(2, 5))),
}

KINDS = {**_SESSION_KINDS, **_ORDER_KINDS}
"""Every kind by its name, as the report counts them."""


def _rests(order: SubmitOrder) -> bool:
    return order.order_type is not OrderType.MARKET and order.time_in_force in (TimeInForce.DAY, TimeInForce.GTC)


def _befallen(random: Random, asked: Sequence[Asked], storm_s: float) -> list[Disturbance]:
    """Resting orders that fill in part or whole, or that IBKR ends, whoever listens; many do not rest at that moment."""
    orders = [(one.at_s, one.request) for one in asked if isinstance(one.request, SubmitOrder) and _rests(one.request)]
    found = []
    for at_s, order in random.sample(orders, min(FILLS, len(orders))):
        name = order.client_order_id
        part = Decimal(max(1, int(order.quantity) // 2)) if random.random() < 0.5 else None
        befalls: verbs.Verb = verbs.Fill(order_ref=name, quantity=part)
        if random.random() < 0.15:
            befalls = verbs.CancelOrder(order_ref=name, text="the venue has closed")
        found.append(Disturbance(round(min(at_s + random.uniform(0.2, 3.0), storm_s), 3), "the market", befalls))
    return found
