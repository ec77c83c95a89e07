"""What the answers of a recording say about the Gateway that gave them: in which of several ways it tells, and what went wrong.

Real Gateways have been recorded telling the same thing in several ways; `EmulatorSettings` has a setting for each, and says in
which recording which was seen. `manner_of` finds those of one recording: one value of each for the whole of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ibstream_gateway_emulator.faults import verbs
from recordings.hearing import Heard
from recordings.script import Conversation, Turn
from recordings.words import REQUEST_ALIASES

_PERMISSIONS = (354, 10089, 10167, 10168)
_WARNINGS = (399, 10349)
_REFUSALS = (201, 203)
"""What only the real account knew the reason of. Everything else that is wrong with an order the stand-in must see itself."""
_DELAYED = (3, 4)
_LIVE_PRICES = {"1", "2", "4"}
"""Tick types of a bid, an ask and a last that are not delayed."""
_NO_BARS, _COMPETING_SESSION, _CANCELLED = 162, 10197, 202
_WORKING = ("PreSubmitted", "Submitted")
_ENDS = {
    "req_executions": ("executions_end", "ExecDetailsEnd"),
    "req_open_orders": ("open_order_end", "OpenOrderEnd"),
    "req_all_open_orders": ("open_order_end", "OpenOrderEnd"),
    "req_completed_orders": ("completed_order_end", "CompletedOrdersEnd"),
    "req_positions": ("position_end", "PositionEnd"),
    "req_positions_multi": ("position_multi_end", "PositionMultiEnd"),
    "req_account_summary": ("account_summary_end", "AccountSummaryEnd"),
    "req_account_updates_multi": ("account_update_multi_end", "AccountUpdateMultiEnd"),
    "req_contract_details": ("contract_details_end", "ContractDataEnd"),
    "req_sec_def_opt_params": ("sec_def_opt_params_end", "OptionParametersEnd"),
}
"""What ends the answer to a request, in the recording's words and the stand-in's. Real Gateways sometimes leave it out."""


def manner_of(conversation: Conversation) -> dict[str, Any]:
    """How the Gateway told: those settings that the recording decides, each as it shows it most often."""
    shown: dict[str, Counter[Any]] = {}
    for turn in conversation.turns:
        for setting, value in _shown_by(turn):
            shown.setdefault(setting, Counter())[value] += 1
    manner = {setting: values.most_common(1)[0][0] for setting, values in shown.items()}
    if not manner.get("acknowledge_as") and manner.get("fills_from") == "Submitted":
        manner["acknowledge_as"] = ("Submitted",)
    manner.pop("fills_from", None)
    return manner


def _shown_by(turn: Turn) -> Iterator[tuple[str, Any]]:
    """What one turn shows. `fills_from` is the state that an order was told before it filled at once."""
    names = [one.name for one in turn.answers]
    statuses = [one for one in turn.answers if one.name == "order_status"]
    states = [str(one.fields["status"]) for one in statuses]
    yield from _acknowledged(turn, statuses)
    if "execution_detail" in names:
        since = names[names.index("execution_detail") :]
        if turn.name == "place_order":
            yield "open_order_with_fill", "open_order" in since
        yield "tell_commission", "commission_report" in since
    if "Cancelled" in states:
        yield "tell_pending_cancel", "PendingCancel" in states
        yield "tell_cancel_202", any(code_of(one) == _CANCELLED for one in turn.answers)
    if any(one.name == "market_data_type" and int(one.fields["data_type"]) in _DELAYED for one in turn.answers):
        prices = {str(one.fields["field"]) for one in turn.answers if one.name == "tick_price"}
        yield "delayed_tick_types", not prices & _LIVE_PRICES
    if turn.name.startswith("req_") and "open_order" in names:
        yield "status_with_open_orders", "order_status" in names


def _acknowledged(turn: Turn, statuses: list[Heard]) -> Iterator[tuple[str, Any]]:
    """The states of a new order until it works; what waits for a trigger or a parent goes its own way."""
    if turn.name != "place_order" or any(one.fields.get("why_held") for one in statuses):
        return
    states = [str(one.fields["status"]) for one in statuses]
    working = [state for state in states if state in _WORKING]
    if "Filled" in states and working:
        yield "fills_from", working[0]
    elif working and set(states) <= {*_WORKING}:
        told = tuple(dict.fromkeys(working))
        yield "acknowledge_as", None if told == _usually(turn) else told


def _usually(turn: Turn) -> tuple[str, ...]:
    """What the stand-in tells of a resting order by itself; see `EmulatorSettings.acknowledge_as`."""
    is_gtc_limit = (turn.fields.get("order_type"), turn.fields.get("tif")) == ("LMT", "GTC")
    return ("Submitted",) if is_gtc_limit else _WORKING


def faults_of(turn: Turn) -> list[verbs.Verb]:
    """What goes wrong in this turn: the stand-in is told to let it, as it is told by any test that wants it."""
    faults: list[verbs.Verb] = []
    names = {one.name for one in turn.answers}
    request = REQUEST_ALIASES.get(turn.name, turn.name)
    for one in turn.answers:
        code, text = code_of(one), str(one.fields.get("message", ""))
        if turn.name == "place_order" and code and "read-only" in text.lower():
            faults.append(verbs.ReadOnlyApi())
        elif turn.name == "place_order" and code in _REFUSALS and names == {"api_error"}:
            faults.append(verbs.RejectOrders(code=code, text=text, count=1))
        elif turn.name == "place_order" and code in _WARNINGS:
            faults.append(verbs.OrderWarning(code=code, text=text, count=1))
        elif request == "req_historical_data" and code == _NO_BARS:
            faults.append(verbs.FailHistory(code=162, text=text))
        elif code == _COMPETING_SESSION:
            faults.append(verbs.CompetingSession())
        elif request == "req_mkt_data" and code in _PERMISSIONS:
            faults.append(verbs.from_builtins({"verb": "market_data_permission", "code": code}))
    end = _ENDS.get(turn.name)
    if end is not None and turn.fields.get("scope") != "auto" and end[0] not in names and "api_error" not in names:
        faults.append(verbs.OmitEnds(ends=(end[1],)))
    return faults


def code_of(heard: Heard) -> int:
    """The code of an error; 0 of everything else."""
    return int(heard.fields["code"]) if heard.name == "api_error" else 0
