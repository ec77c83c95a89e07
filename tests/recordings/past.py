"""What had happened before a recording begins, read off what its lists tell: orders that ended, that filled, that still work.

An order belongs to the past if a list tells of it that was not placed in the conversation before. All of them end as the
recording says, for which the simulated market must leave them alone until then: `markets` finds one that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from recordings.hearing import Heard
from recordings.moments import moment_of
from recordings.ordering import place_order
from recordings.saying import StandInWords
from recordings.script import Conversation, Turn

_ORDER_LIVES = timedelta(seconds=10)
_FORMER_CLIENT = 31
"""Placed the orders of which the recording does not say whose they were."""
_ATTRIBUTES = (
    "oca_group", "oca_type", "order_ref", "rule80_a", "outside_rth", "hidden", "parent_id", "good_after_time",
    "good_till_date", "trail_stop_price", "trailing_percent", "lmt_price_offset", "display_size", "all_or_none", "min_qty",
    "algo_strategy", "algo_params", "discretion_amt", "open_close", "model_code",
)  # fmt: skip
"""What lists tell of an order that its client had said, besides its terms."""
_SOME_PRICE = Decimal(100)
"""Of an execution of which only the quantity is told; prices are not compared."""
_UNSET: tuple[Any, ...] = ("", None, "None", [], "1.7976931348623157E308", "2147483647")


@dataclass
class PastFill:
    """One execution before the conversation."""

    quantity: Decimal
    price: Decimal
    at: datetime


@dataclass
class PastOrder:
    """An order of the time before. Without `ended` it still works; else it was cancelled, unless `fills` are all of it."""

    order: PlaceOrder
    client_id: int
    symbol: str
    placed: datetime
    fills: list[PastFill] = field(default_factory=list)
    ended: datetime | None = None
    is_guessed: bool = False
    """Whether nothing is known of the order but what was executed of it."""
    why: str = ""
    """What the list of completed orders says of its end."""

    @property
    def filled(self) -> Decimal:
        """How much of it had been executed."""
        return sum((fill.quantity for fill in self.fills), Decimal(0))


def past_of(conversation: Conversation, client_ids: list[int], words: StandInWords) -> list[PastOrder]:
    """The orders of the time before, oldest first."""
    reader = _Reader(conversation, words)
    for leg, client_id in zip(conversation.legs, client_ids, strict=True):
        for turn in leg.turns:
            reader.read(turn, client_id)
    return sorted(reader.found, key=lambda past: past.placed)


def former_client() -> int:
    """The client that placed the orders of which the recording does not say whose they were."""
    return _FORMER_CLIENT


class _Reader:
    """Goes through a conversation, and collects what it cannot itself have brought about."""

    def __init__(self, conversation: Conversation, words: StandInWords) -> None:
        self._began = conversation.legs[0].began
        self._words = words
        self._contracts = contracts_of(conversation)
        self._placed = {str(turn.fields.get("order_id")) for turn in conversation.turns if turn.name == "place_order"}
        self._orders = [turn.fields for turn in conversation.turns if turn.name == "place_order" and turn.fields]
        self._perm_ids: set[str] = set()
        self._exec_ids: set[str] = set()
        self._by_order: dict[str, PastOrder] = {}
        self._next_id = 1
        self.found: list[PastOrder] = []

    def read(self, turn: Turn, client_id: int) -> None:
        for one in turn.answers:
            match one.name:
                case "open_order" if turn.name == "place_order":
                    self._perm_ids.add(_id(one, "perm_id"))
                case "order_status" if turn.name == "place_order":
                    self._perm_ids.add(_id(one, "perm_id"))
                case "open_order":
                    self._open(one, client_id)
                case "execution_detail":
                    self._execution(one, client_id, is_live=_id(one, "req_id") == "-1" or turn.name == "place_order")
                case "completed_order":
                    self._completed(one)

    def _open(self, one: Heard, client_id: int) -> None:
        """An order that works since before."""
        if self._is_own(one):
            return
        known = self._known(one)
        owner = int(one.fields.get("client_id") or client_id)
        if known is None:
            self._take(self._past(one.fields, owner, self._began - timedelta(minutes=1)), one)
        elif known.is_guessed:
            # The list of its executions came first.
            known.order, known.ended, known.is_guessed = self._past(one.fields, owner, known.placed).order, None, False

    def _execution(self, one: Heard, client_id: int, *, is_live: bool) -> None:
        """An execution: of an order of the time before, if the conversation has not told of it yet."""
        exec_id = _id(one, "exec_id")
        is_known = exec_id in self._exec_ids
        self._exec_ids.add(exec_id)
        if is_live or is_known or self._is_own(one):
            return
        fields, at = one.fields, moment_of(str(one.fields["time"]))
        past = self._known(one)
        if past is None:
            past = self._past(_guessed(fields, self._contracts), int(fields.get("client_id") or client_id), at)
            past.placed, past.ended, past.is_guessed = at - _ORDER_LIVES, at, True
            self._take(past, one)
        past.fills.append(PastFill(Decimal(str(fields["shares"])), Decimal(str(fields["price"])), at))
        past.placed = min(past.placed, at - _ORDER_LIVES)
        if past.is_guessed:
            past.order = _of_quantity(past.order, past.filled)
            past.ended = max(past.ended or at, at)

    def _completed(self, one: Heard) -> None:
        """An order that had ended; if its executions were told, it is theirs that it had."""
        known = self._known(one)
        if self._is_own(one) or self._was_placed(one) or (known is not None and known.ended is None):
            return
        fields = one.fields
        at = moment_of(str(fields["completed_time"])) if fields.get("completed_time") else self._began - _ORDER_LIVES
        filled = Decimal(str(fields.get("filled") or 0))
        executed = known or self._executed(one, filled)
        if executed is not None:
            executed.order = self._past(_whole(fields), executed.client_id, at, executed.order.order_id).order
            executed.is_guessed = False
            executed.ended, executed.why = max(at, executed.ended or at), str(fields.get("completed_status", ""))
            return
        past = self._past(_whole(fields), _FORMER_CLIENT, at - _ORDER_LIVES)
        past.ended, past.why = at, str(fields.get("completed_status", ""))
        if filled:
            price = Decimal(str(fields.get("lmt_price") or 0)) or _SOME_PRICE
            past.fills.append(PastFill(filled, price, at if past.order.quantity == filled else at - _ORDER_LIVES / 2))
        self._take(past, one)

    def _executed(self, one: Heard, filled: Decimal) -> PastOrder | None:
        """The order that the recording's list of executions tells of already."""
        symbol, action = one.fields["contract"]["symbol"], one.fields["action"]
        fitting = (
            past
            for past in self.found
            if past.fills and (past.symbol, past.order.action) == (symbol, action) and past.filled == filled
        )
        return next(fitting, None)

    def _known(self, one: Heard) -> PastOrder | None:
        return next((self._by_order[key] for key in _keys(one) if key in self._by_order), None)

    def _is_own(self, one: Heard) -> bool:
        perm_id = _id(one, "perm_id")
        return perm_id in self._perm_ids if perm_id else _id(one, "order_id") in self._placed

    def _was_placed(self, one: Heard) -> bool:
        """Whether a completed order without any id is one of the conversation's."""
        if _id(one, "perm_id"):
            return False
        terms = ("action", "order_type")
        mine = one.fields
        return any(
            order["contract"]["symbol"] == mine["contract"]["symbol"]
            and all(order[term] == mine[term] for term in terms)
            for order in self._orders
        )

    def _past(self, fields: dict[str, Any], client_id: int, placed: datetime, order_id: int = 0) -> PastOrder:
        own_id = order_id or int(fields.get("order_id") or 0)
        if own_id <= 0:
            own_id, self._next_id, client_id = self._next_id, self._next_id + 1, _FORMER_CLIENT
        order = place_order({**_terms(fields), "order_id": own_id}, self._words)
        return PastOrder(order, client_id, str(fields["contract"]["symbol"]), placed)

    def _take(self, past: PastOrder, one: Heard) -> None:
        self.found.append(past)
        self._by_order |= dict.fromkeys(_keys(one), past)


def _id(one: Heard, name: str) -> str:
    said = str(one.fields.get(name) or "")
    return "" if said == "0" else said


def _keys(one: Heard) -> list[str]:
    """By what lists name the same order: its permId, its order id, or both."""
    return [f"{name} {_id(one, name)}" for name in ("perm_id", "order_id") if _id(one, name)]


def _terms(fields: dict[str, Any]) -> dict[str, Any]:
    """What the client must have said for a list to tell it so."""
    said = {name: fields[name] for name in _ATTRIBUTES if fields.get(name) not in _UNSET}
    if "oca_group" not in said:
        said.pop("oca_type", None)
    contract = dict(fields["contract"])
    if contract.get("sec_type") == "STK":
        contract["exchange"] = "SMART"
    return {
        **said,
        "contract": contract,
        "action": fields["action"],
        "total_quantity": fields["quantity"],
        "order_type": fields["order_type"],
        "lmt_price": "" if fields["order_type"] == "MKT" else fields.get("lmt_price", ""),
        "aux_price": fields.get("aux_price", ""),
        "tif": fields.get("tif", ""),
        "account": fields.get("account", ""),
    }


def _whole(fields: dict[str, Any]) -> dict[str, Any]:
    """A completed order with the quantity that was ordered: told is what was left of it."""
    left, filled = Decimal(str(fields.get("quantity") or 0)), Decimal(str(fields.get("filled") or 0))
    is_all = fields.get("status") == "Filled" and left == filled
    return {**fields, "quantity": str(filled if is_all else left + filled)}


def _guessed(execution: dict[str, Any], contracts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """An order for an execution of which nothing else is known: a limit order far from the market, so that it waits for it."""
    symbol = str(execution["symbol"])
    plain = {"symbol": symbol, "sec_type": "STK", "exchange": "SMART", "currency": "USD"}
    is_buy = execution["side"] == "BOT"
    return {
        "contract": execution.get("contract") or contracts.get(symbol, plain),
        "action": "BUY" if is_buy else "SELL",
        "quantity": execution["shares"],
        "order_type": "LMT",
        "lmt_price": "1" if is_buy else "100000",
        "tif": "DAY",
        "order_id": execution.get("order_id"),
        "order_ref": execution.get("order_ref", ""),
    }


def _of_quantity(order: PlaceOrder, quantity: Decimal) -> PlaceOrder:
    return msgspec.structs.replace(order, quantity=quantity)


def contracts_of(conversation: Conversation) -> dict[str, dict[str, Any]]:
    """The contracts that the recording names in full, by symbol."""
    named = [one.fields["contract"] for one in conversation.answers if one.fields.get("contract")]
    return {str(contract["symbol"]): contract for contract in named if contract.get("symbol")}


def executed_quantity(past: list[PastOrder]) -> Iterator[tuple[str, Decimal]]:
    """What the orders of the time before did to the positions, by symbol."""
    for one in past:
        sign = 1 if one.order.action == "BUY" else -1
        for fill in one.fills:
            yield one.symbol, sign * fill.quantity
