"""How a stand-in must stand so that a recorded conversation can happen, read off the recording itself.

Its state: account, clock, farms announced, order ids, positions held, and what became of orders before (`past`). How a Gateway
tells is in `manners`; nothing else is taken from the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibstream.runtime.symbols import load_symbols
from ibstream_gateway_emulator.settings import EmulatorSettings, Holding
from recordings.hearing import Heard
from recordings.manners import code_of
from recordings.past import PastOrder, executed_quantity, past_of
from recordings.saying import StandInWords
from recordings.script import Conversation, Leg

_SYMBOLS = tuple(load_symbols(Path(__file__).parents[2] / "config" / "symbols" / "sp500.txt"))
_FARM_CODES = (2104, 2106, 2158)
_MONTHS = "FGHJKMNQUVXZ"
_CURRENCIES = frozenset({"USD", "AUD", "CAD", "CHF", "EUR", "GBP", "JPY", "MXN", "NOK", "NZD", "SEK", "SGD"})
_POSITIONS = ("position", "position_multi", "update_portfolio")
_ONLY_CLIENT = 1


@dataclass
class Stage:
    """The stand-in's state at the beginning."""

    settings: EmulatorSettings
    began: datetime
    """The Gateway's time at the first handshake."""
    client_ids: list[int]
    """Of each connection."""
    order_ids: dict[int, int]
    """The first order id of each client."""
    past_orders: list[PastOrder] = field(default_factory=list)


def stage_of(conversation: Conversation, seed: int, manner: dict[str, Any] | None = None) -> Stage:
    """The stage for a whole conversation; `manner` are settings that decide how the stand-in tells."""
    clients = [_client_id(leg) for leg in conversation.legs]
    order_ids: dict[int, int] = {}
    for client, leg in zip(clients, conversation.legs, strict=True):
        first = next((one for one in leg.turns[0].answers if one.name == "next_valid_id"), None)
        if first is not None:
            order_ids.setdefault(client, int(first.fields["order_id"]))
    past = past_of(conversation, clients, StandInWords())
    plain = EmulatorSettings(symbols=_SYMBOLS)
    settings = EmulatorSettings(
        symbols=_SYMBOLS,
        port=0,
        seed=seed,
        account=_account(conversation, plain.account),
        base_currency=_base_currency(conversation),
        farms=_farms(conversation.legs[0]) if conversation.legs[0].turns[0].answers else plain.farms,
        holdings=tuple(_holdings(conversation, past)),
        **(manner or {}),
    )
    return Stage(settings, conversation.legs[0].began, clients, order_ids, past)


def _client_id(leg: Leg) -> int:
    """The client's number: as it named itself, or as the Gateway tells it of the orders it placed or cancelled; else 1."""
    if leg.client_id is not None:
        return leg.client_id
    told = (
        int(one.fields["client_id"])
        for turn in leg.turns
        if turn.name in ("place_order", "cancel_order")
        for one in turn.answers
        if one.name == "order_status" and one.fields.get("client_id") not in (None, "")
    )
    return next(told, _ONLY_CLIENT)


def _account(conversation: Conversation, otherwise: str) -> str:
    """The account, as it was named at the handshake, or by whatever is told of it."""
    for one in conversation.answers:
        if one.name == "managed_accounts" and one.fields["accounts"]:
            return str(one.fields["accounts"][0])
    named = (one.fields["account"] for one in conversation.answers if one.fields.get("account"))
    return str(next(named, otherwise))


def _base_currency(conversation: Conversation) -> Any:
    """That of the money in an account summary."""
    money = (str(one.fields.get("currency")) for one in conversation.answers if one.name == "account_summary")
    return next((currency for currency in money if currency in _CURRENCIES), "USD")


def _farms(leg: Leg) -> tuple[tuple[int, str], ...]:
    return tuple(
        (code, str(one.fields["message"]).rpartition(":")[2])
        for one in leg.turns[0].answers
        if (code := code_of(one)) in _FARM_CODES
    )


def _holdings(conversation: Conversation, past: list[PastOrder]) -> list[Holding]:
    """What was held before everything: the positions as told first, less what had been traded until then."""
    traded: dict[str, Decimal] = {}
    for symbol, quantity in executed_quantity(past):
        traded[symbol] = traded.get(symbol, Decimal(0)) + quantity
    held: dict[str, Holding] = {}
    for turn in conversation.turns:
        for one in turn.answers:
            if one.name == "execution_detail" and turn.name == "place_order":
                sign = 1 if one.fields["side"] == "BOT" else -1
                symbol = str(one.fields["symbol"])
                traded[symbol] = traded.get(symbol, Decimal(0)) + sign * Decimal(str(one.fields["shares"]))
            elif one.name in _POSITIONS:
                held.setdefault(key_of(one.fields["contract"]), _holding(one, traded))
    return [holding for holding in held.values() if holding.quantity]


def _holding(position: Heard, traded: dict[str, Decimal]) -> Holding:
    contract = position.fields["contract"]
    told = Decimal(str(position.fields["position"]))
    return Holding(
        symbol=key_of(contract),
        quantity=told - traded.get(str(contract["symbol"]), Decimal(0)),
        average_cost=Decimal(str(position.fields.get("avg_cost") or 0)),
    )


def key_of(contract: dict[str, Any]) -> str:
    """The stand-in's own name of a recorded contract."""
    kind, symbol = contract["sec_type"], str(contract["symbol"])
    if kind == "FUT":
        expiry, root = contract["expiry"], contract.get("trading_class") or symbol
        return f"{root}{_MONTHS[int(expiry[4:6]) - 1]}{expiry[:4]}"
    if kind == "OPT":
        return str(contract["local_symbol"])
    return f"{symbol}.{contract['currency']}" if kind == "CASH" else symbol.replace(" ", ".")
