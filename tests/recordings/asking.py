"""The client's messages of a recording, as requests at server version 178.

Which there are, and which fields they have, is read off the protocol's table of requests; see `words` for their names.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_type_hints

import msgspec

from ibstream_gateway_emulator.protocol import requests as r
from ibstream_gateway_emulator.protocol.base import Legs
from ibstream_gateway_emulator.protocol.fields import Contract, Contract11
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import Request, write_request
from recordings.ordering import place_order
from recordings.saying import (
    NEWER_THAN_178,
    SAYS_NOTHING,
    VERSION,
    Fields,
    StandInWords,
    UnknownStepError,
    contract11_of,
    contract_of,
    flag,
    is_unsaid,
    legs_of,
    text,
)
from recordings.words import REFUSED_REQUESTS, REQUEST_ALIASES, REQUEST_FIELDS, REQUEST_KINDS

_OPEN_ORDERS = {"client": r.ReqOpenOrders, "all": r.ReqAllOpenOrders}
_UNSAID: dict[type[Request], dict[str, Any]] = {
    r.ReqHistoricalData: {"format_date": 1, "what_to_show": "TRADES"},
    r.ReqHeadTimestamp: {"format_date": 1, "what_to_show": "TRADES"},
    r.ReqHistoricalTicks: {"what_to_show": "TRADES"},
    r.ReqRealTimeBars: {"bar_s": 5, "what_to_show": "TRADES"},
    r.ReqTickByTick: {"tick_type": "Last"},
    r.ReqMktDepth: {"rows": 5},
    r.ReqIds: {"count": 1},
    r.ReqAccountSummary: {"group": "All"},
    r.ReqAccountUpdates: {"subscribe": True},
    r.ReqAccountUpdatesMulti: {"ledger_and_nlv": True},
    r.ReqAutoOpenOrders: {"bind": True},
    r.ReqNewsBulletins: {"all_messages": True},
}
"""What a client said where a recording does not name the field; all else was empty, 0 or false."""
_CON_IDS = frozenset({"con_id", "under_con_id"})


def ask(name: str, fields: Fields, words: StandInWords) -> bytes:
    """The frame that the client sends. Raises `UnknownStepError`."""
    if name in REFUSED_REQUESTS:
        return refused(name, fields)
    return write_request(request_of(name, fields, words), VERSION)


def request_of(name: str, fields: Fields, words: StandInWords) -> Request:
    """The request that a step names. Raises `UnknownStepError`."""
    known = REQUEST_ALIASES.get(name, name)
    if known == "place_order":
        return place_order(fields, words)
    if known == "cancel_open_orders":
        return r.ReqAutoOpenOrders(bind=False)
    if known == "req_open_orders" and fields.get("scope", "client") != "client":
        return _OPEN_ORDERS.get(fields["scope"], lambda: r.ReqAutoOpenOrders(bind=True))()
    kind = REQUEST_KINDS.get(known)
    if kind is None or kind is PlaceOrder:
        raise UnknownStepError(f"client {name}")
    return _filled(kind, name, fields, words)


def refused(name: str, fields: Fields) -> bytes:
    """A request that the stand-in does not know: its id and the request's, which is all that its refusal needs."""
    message_id = REFUSED_REQUESTS[name]
    has_version = message_id in (18, 19, 23, 52, 53, 67, 68, 69, 70)
    req_id = str(fields.get("req_id", fields.get("fa_data_type", "")))
    return frame((str(message_id), *(("1",) if has_version else ()), req_id))


def _filled(kind: type[Request], name: str, fields: Fields, words: StandInWords) -> Request:
    aliases = REQUEST_FIELDS.get(kind, {})
    given = {aliases.get(key, key): value for key, value in fields.items()}
    given.pop("scope", None)
    hints = get_type_hints(kind, include_extras=True)
    known = {place.name for place in msgspec.structs.fields(kind)}
    for key in given.keys() - known:
        if key not in NEWER_THAN_178 and given[key] not in SAYS_NOTHING:
            raise UnknownStepError(f"client {name}: {key}")
    unsaid = _UNSAID.get(kind, {})
    values: dict[str, Any] = {}
    for place in msgspec.structs.fields(kind):
        said = given.get(place.name)
        if is_unsaid(said) and place.name in unsaid:
            values[place.name] = unsaid[place.name]
        elif hints[place.name] == Legs:
            values[place.name] = legs_of(fields, words)
        else:
            values[place.name] = _value(hints[place.name], place.name, said, words)
    if kind is r.CancelMktDepth and "is_smart_depth" not in given:
        values["is_smart_depth"] = words.is_smart_depth.get(values["req_id"], False)
    return kind(**values)


def _value(hint: Any, name: str, said: Any, words: StandInWords) -> Any:
    if hint is Contract:
        return contract_of(said, words)
    if hint is Contract11:
        return contract11_of(said, words)
    if hint is bool:
        return flag(said)
    if name in _CON_IDS:
        return words.con_id(str(said or 0))
    if name == "bbo_exchange":
        return words.bbo_exchange(str(said or ""))
    if hint is int:
        return 0 if is_unsaid(said) else int(said)
    if hint is Decimal:
        return Decimal(str(said or 0))
    if hint is str:
        return text(said)
    return None
