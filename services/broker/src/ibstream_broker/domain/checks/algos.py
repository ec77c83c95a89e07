"""IBKR's algorithms: which orders they work, and with which parameters. Source: IBKR's API documentation of its algorithms."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ibstream.contracts.orders import AlgoName, OrderType, Reason, SubmitOrder, TimeInForce
from ibstream_broker.domain.refusal import Refusal

_WORKED_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
_WORKED_TIMES = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})

_TIME = re.compile(r"(\d{8}[ -])?([01]?\d|2[0-3]):[0-5]\d:[0-5]\d( [A-Za-z][A-Za-z0-9/_+-]*)?")
_YES_OR_NO = re.compile("[01]")
_SHARE = re.compile(r"0?\.\d{1,6}")

_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "adaptivePriority": (re.compile("Urgent|Normal|Patient"), "Urgent, Normal or Patient"),
    "strategyType": (
        re.compile("Marketable|Matching Midpoint|Matching Same Side|Matching Last"),
        "Marketable, Matching Midpoint, Matching Same Side or Matching Last",
    ),
    "startTime": (_TIME, "a time as in 09:30:00 US/Eastern or 20261123-14:30:00 (UTC)"),
    "endTime": (_TIME, "a time as in 16:00:00 US/Eastern or 20261123-21:00:00 (UTC)"),
    "allowPastEndTime": (_YES_OR_NO, "1 or 0"),
    "maxPctVol": (_SHARE, "a share of the volume as in 0.1 for 10 %"),
    "noTakeLiq": (_YES_OR_NO, "1 or 0"),
}

PARAMETERS: Mapping[AlgoName, frozenset[str]] = {
    AlgoName.ADAPTIVE: frozenset({"adaptivePriority"}),
    AlgoName.TWAP: frozenset({"strategyType", "startTime", "endTime", "allowPastEndTime"}),
    AlgoName.VWAP: frozenset({"maxPctVol", "startTime", "endTime", "allowPastEndTime", "noTakeLiq"}),
}
"""What each algorithm takes. None of them is required: IBKR has defaults."""


def check_algo(request: SubmitOrder) -> Refusal | None:
    """A known algorithm on an order it can work, with parameters it knows, in their form."""
    algo = request.algo
    if algo is None:
        return None
    if request.order_type not in _WORKED_TYPES or request.instrument.security_type == "BAG":
        what = "combo" if request.instrument.security_type == "BAG" else f"{request.order_type} order"
        return Refusal(Reason.INVALID_ORDER, f"{algo.name} works MKT and LMT orders of one instrument, no {what}")
    if request.time_in_force not in _WORKED_TIMES:
        text = f"{algo.name} takes its time, and {request.time_in_force} gives none: use DAY"
        return Refusal(Reason.INVALID_ORDER, text)
    known = PARAMETERS[algo.name]
    for name, value in algo.parameters.items():
        if name not in known:
            text = f"{algo.name} has no parameter {name[:40]!r}; it takes {', '.join(sorted(known))}"
            return Refusal(Reason.INVALID_ORDER, text)
        pattern, form = _FORMS[name]
        if not pattern.fullmatch(value):
            return Refusal(Reason.INVALID_ORDER, f"{algo.name}'s {name} {value[:40]!r} is not {form}")
    return None
