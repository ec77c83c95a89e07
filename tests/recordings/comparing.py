"""Where a stand-in's answers differ from the recorded ones.

Compared are the messages in their order, and of each every field that the recording has: states, codes, texts, sides,
quantities, instruments, End messages. Aside, as the wording of the task allows, are only

- times, and prices and other amounts of money (`ASIDE`); a limit price that the client gave must still be told back
- ids: a recorded id must stand for one of the stand-in's throughout, and the other way round (`IDS`)
- in a stream how often its messages come and in which order (`without_repetition`), and where its trades happened (`ASIDE_OF`)
- fields that openOrder has only at version 200 or nowhere on the wire (`NOT_ON_THE_WIRE`)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from difflib import SequenceMatcher
from typing import Any

from recordings.hearing import Heard

ASIDE = frozenset(
    {
        "error_time_ms", "time", "aux_price", "price", "avg_fill_price", "last_fill_price", "mkt_cap_price", "avg_cost",
        "value", "open", "high", "low", "close", "volume", "wap", "count", "commission", "realized_pnl", "size",
        "market_price", "market_value", "unrealized_pnl", "completed_time", "start", "end", "avg_price", "timestamp",
        "daily_pnl", "bar_count", "bid_price", "ask_price", "bid_size", "ask_size", "mid_point",
        "implied_vol", "delta", "opt_price", "pv_dividend", "gamma", "vega", "theta", "und_price",
        "expirations", "strikes", "min_commission", "max_commission",
        "init_margin_before", "init_margin_change", "init_margin_after",
        "maint_margin_before", "maint_margin_change", "maint_margin_after",
        "equity_with_loan_before", "equity_with_loan_change", "equity_with_loan_after",
    }
)  # fmt: skip
"""Times, prices and amounts of money, and what is computed from them."""
ASIDE_OF = {
    "tick_by_tick": frozenset({"exchange", "special_conditions", "tick_attrib_last", "tick_attrib_bid_ask"}),
    "historical_ticks_bid_ask": frozenset({"tick_attrib"}),
    "historical_ticks_last": frozenset({"tick_attrib", "exchange", "special_conditions"}),
    "market_depth_l2": frozenset({"market_maker"}),
    "tick_price": frozenset({"attr_mask"}),
}
"""What else of some messages says only what the market happened to do: which exchange traded, and how."""
TIMES_COMPARED = frozenset({"historical_bar"})
"""Messages whose `time` is asked for rather than measured: the stand-in's clock shows the recorded time."""
IDS = {
    "order_id": "order",
    "parent_id": "order",
    "req_id": "request",
    "perm_id": "perm",
    "exec_id": "exec",
    "con_id": "contract",
    "underlying_con_id": "contract",
    "bbo_exchange": "exchange",
}
"""Ids, and of what; the numbers may differ, but not what they stand for. So may an OCA group that is named by a permId."""
NOT_ON_THE_WIRE = {
    "open_order": frozenset({"filled", "remaining", "parent_perm_id"}),
    "completed_order": frozenset({"parent_perm_id", "auto_cancel_date", "filled_quantity", "remaining"}),
}
DELAYED = {
    "66": "1", "67": "2", "68": "4", "69": "0", "70": "3", "71": "5", "72": "6", "73": "7", "74": "8", "75": "9",
    "76": "14", "80": "10", "81": "11", "82": "12", "83": "13", "88": "45", "90": "49",
}  # fmt: skip
"""Types of delayed ticks, and of the live ones that they stand for: they are held against each other, and their types differ."""
STREAMED = frozenset({"realtime_bar", "market_depth", "market_depth_l2", "pnl", "pnl_single", "historical_data_update"})
"""Messages besides ticks that come as often as the market says."""
_ACCOUNT = frozenset(
    {"update_account_value", "update_portfolio", "update_account_time", "account_update_multi", "account_summary"}
)
_KEYS = ("status", "code", "tag", "key", "currency", "field", "tick_type", "side", "time")
_REQUEST_ID = re.compile(r"(query cancelled: )\d+$")
_NO_ID = {"-1": "-1", "0": "0", "": "0", str(2**63 - 1): "0"}
"""How no id is written."""


def without_repetition(recorded: list[Heard], heard: list[Heard]) -> tuple[list[Heard], list[Heard]]:
    """For a stream, in which it is the market that says what comes when: each kind of tick once, those recorded alone.

    What is no tick stays where it is; the ticks follow it in the order of their kinds.
    """
    return _once(recorded), _once(of_kinds_recorded(recorded, heard, _is_tick))


def with_values_recorded(recorded: list[Heard], heard: list[Heard]) -> tuple[list[Heard], list[Heard]]:
    """For the values of an account: how many there are depends on the account, so those recorded alone."""
    return recorded, of_kinds_recorded(recorded, heard, lambda one: one.name in _ACCOUNT)


def of_kinds_recorded(recorded: list[Heard], heard: list[Heard], is_one: Callable[[Heard], bool]) -> list[Heard]:
    """What was heard, without those of the messages that `is_one` names whose kind was not recorded at all."""
    kinds = {_key(one) for one in recorded}
    return [one for one in heard if not is_one(one) or _key(one) in kinds]


def without_ticks(messages: list[Heard]) -> list[Heard]:
    """What is said while a stream goes on beside it."""
    return [one for one in messages if not _is_tick(one)]


def without_streams(messages: list[Heard]) -> list[Heard]:
    """The same without the account's values, too, which come by themselves to whoever follows them."""
    return [one for one in without_ticks(messages) if one.name not in _ACCOUNT]


def _once(messages: list[Heard]) -> list[Heard]:
    ticks = {_key(one): one for one in reversed(messages) if _is_tick(one)}
    return [*without_ticks(messages), *(ticks[key] for key in sorted(ticks))]


def _is_tick(heard: Heard) -> bool:
    return heard.name in STREAMED or (heard.name.startswith("tick_") and heard.name != "tick_snapshot_end")


class Comparison:
    """Compares turn by turn, and remembers which ids stand for which."""

    def __init__(self) -> None:
        self._stands_for: dict[tuple[str, str], str] = {}
        self._stood_for_by: dict[tuple[str, str], str] = {}

    def differences(self, recorded: list[Heard], heard: list[Heard]) -> Iterator[str]:
        """What differs between the answers to one turn, one line each."""
        matcher = SequenceMatcher(None, [_key(one) for one in recorded], [_key(one) for one in heard], autojunk=False)
        for what, begin, end, heard_begin, heard_end in matcher.get_opcodes():
            if what == "equal" or _same_names(recorded[begin:end], heard[heard_begin:heard_end]):
                for one, other in zip(recorded[begin:end], heard[heard_begin:heard_end], strict=True):
                    yield from self._in_fields(one, other)
                continue
            yield from (f"missing: {_title(one)}" for one in recorded[begin:end])
            yield from (f"not recorded: {_title(one)}" for one in heard[heard_begin:heard_end])

    def _in_fields(self, recorded: Heard, heard: Heard) -> Iterator[str]:
        for path, value, other in _pairs(recorded.fields, heard.fields):
            name = path[-1]
            ignored = NOT_ON_THE_WIRE.get(recorded.name, frozenset()) | ASIDE_OF.get(recorded.name, frozenset())
            if name in ignored or self._is_aside(recorded, name):
                continue
            kind = IDS.get(name) or ("perm" if name == "oca_group" and _text(value).isdigit() else None)
            if kind is not None:
                if not self._same_id(kind, _text(value), _text(other)):
                    yield f"{_title(recorded)}: {'.'.join(path)} {_text(value)} stood for something else before"
            elif not (_same_text(value, other) if name == "message" else _same(value, other)):
                yield f"{_title(recorded)}: {'.'.join(path)} is {_text(other)!r}, recorded {_text(value)!r}"

    @staticmethod
    def _is_aside(recorded: Heard, name: str) -> bool:
        if name == "lmt_price":
            return recorded.fields.get("order_type") != "LMT"
        if name == "time" and recorded.name in TIMES_COMPARED:
            return False
        return name in ASIDE

    def _same_id(self, kind: str, recorded: str, heard: str) -> bool:
        if recorded in _NO_ID or heard in _NO_ID:
            return _NO_ID.get(recorded) == _NO_ID.get(heard)
        forth = self._stands_for.setdefault((kind, recorded), heard)
        back = self._stood_for_by.setdefault((kind, heard), recorded)
        return (forth, back) == (heard, recorded)


def _same_names(recorded: list[Heard], heard: list[Heard]) -> bool:
    """Whether messages that are not the same are at least of the same kinds: then it is fields that differ."""
    return [one.name for one in recorded] == [one.name for one in heard]


def _key(heard: Heard) -> tuple[str, ...]:
    """By what messages are aligned with each other before their fields are compared."""
    name, *values = _words(heard)
    return (name, *(DELAYED.get(value, value) for value in values)) if name.startswith("tick_") else (name, *values)


def _words(heard: Heard) -> tuple[str, ...]:
    return (heard.name, *(_text(heard.fields[key]) for key in _keys(heard) if key in heard.fields))


def _keys(heard: Heard) -> tuple[str, ...]:
    if heard.name in ("open_order", "position", "execution_detail", "commission_report"):
        return ()
    return tuple(key for key in _KEYS if key != "time" or heard.name in TIMES_COMPARED)


def _title(heard: Heard) -> str:
    return " ".join(_words(heard))


def _pairs(recorded: Any, heard: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Every field of the recording beside the stand-in's; lists item by item."""
    if isinstance(recorded, dict) and isinstance(heard, dict):
        for name, value in recorded.items():
            yield from _pairs(value, heard.get(name), (*path, name))
    elif isinstance(recorded, list) and isinstance(heard, list) and len(recorded) == len(heard):
        for value, other in zip(recorded, heard, strict=True):
            yield from _pairs(value, other, path)
    else:
        yield path, recorded, heard


def _same(recorded: Any, heard: Any) -> bool:
    one, other = _text(recorded), _text(heard)
    if one == other:
        return True
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False


def _same_text(recorded: Any, heard: Any) -> bool:
    """Whether two texts are alike but for the request id that one of them ends with."""
    return _REQUEST_ID.sub(r"\1", _text(recorded)) == _REQUEST_ID.sub(r"\1", _text(heard))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)
