"""In which of the stand-in's markets a recording can happen: prices are not the Gateway's doing, but orders depend on them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ibstream.simulation.market import Market
from ibstream.simulation.sessions import to_ns
from recordings.past import contracts_of
from recordings.script import Conversation, Turn
from recordings.staging import Stage, key_of

_SEEDS = (7, 61, *range(100, 300))
"""Tried in this order. Under 61 AAPL falls by 1.5 % within hours of 2026-04-15 11:05 in New York, which one order needs."""
_TRIED_MAX = 2


@dataclass(frozen=True)
class Demand:
    """A limit order that finds its price at a time, or does not."""

    key: str
    at: datetime
    is_buy: bool
    limit: Decimal
    fills: bool

    def is_met(self, market: Market) -> bool:
        """Whether it is so in this market; an instrument that is not traded in it demands nothing."""
        with contextlib.suppress(KeyError, ValueError, LookupError):
            quote = market.quote(self.key, to_ns(self.at))
            is_marketable = quote.ask <= self.limit if self.is_buy else quote.bid >= self.limit
            return is_marketable is self.fills
        return True


def seeds_for(conversation: Conversation, stage: Stage) -> list[int]:
    """Seeds of markets in which limit orders rest and fill as recorded, the best first; the usual ones if there is none."""
    demands = list(demands_of(conversation, stage))
    fitting = (seed for seed in _SEEDS if _all_met(demands, Market(seed)))
    return [seed for seed, _ in zip(fitting, range(_TRIED_MAX), strict=False)] or list(_SEEDS[:_TRIED_MAX])


def _all_met(demands: list[Demand], market: Market) -> bool:
    return all(demand.is_met(market) for demand in demands)


def demands_of(conversation: Conversation, stage: Stage) -> Iterator[Demand]:
    """What the orders of the conversation, and of the time before, demand of the market."""
    contracts = contracts_of(conversation)
    for leg in conversation.legs:
        for turn in leg.turns:
            if turn.name == "place_order" and turn.fields.get("order_type") == "LMT":
                yield from _of_turn(turn, leg.began, contracts)
    for past in stage.past_orders:
        if past.order.order_type == "LMT" and not past.is_guessed and past.order.limit_price is not None:
            named = contracts.get(past.symbol)
            if named is not None:
                yield from _demand(named, past.placed, past.order.action, past.order.limit_price, fills=False)


def _of_turn(turn: Turn, at: datetime, contracts: dict[str, dict[str, Any]]) -> Iterator[Demand]:
    fields = turn.fields
    named = contracts.get(str(fields["contract"].get("symbol")), fields["contract"])
    states = [str(one.fields["status"]) for one in turn.answers if one.name == "order_status"]
    if states and fields.get("lmt_price") not in (None, ""):
        fills = any(one.name == "execution_detail" for one in turn.answers)
        yield from _demand(named, at, str(fields["action"]), Decimal(str(fields["lmt_price"])), fills=fills)


def _demand(named: dict[str, Any], at: datetime, action: str, limit: Decimal, *, fills: bool) -> Iterator[Demand]:
    with contextlib.suppress(KeyError, ValueError, IndexError):
        yield Demand(key_of(named), at, action == "BUY", limit, fills)
