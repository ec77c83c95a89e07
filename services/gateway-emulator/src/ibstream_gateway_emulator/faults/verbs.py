"""The verbs: one closed list, shared by the control API, scenarios and the Python handle.

An `Event` happens once. A `State` lasts until it is cleared or its time is over. Fields are given by name; units stand last in
their names. What a verb touches is narrowed by `client_id`, `symbol`, `order_ref`; what is not given is not asked for.

    decode(b'{"verb": "delay", "ms": 40}')  ->  Delay(ms=40.0)
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from ibstream_gateway_emulator.faults.verb import Event, OrderScope, State, Verb
from ibstream_gateway_emulator.faults.verbs_connection import (
    AcceptSilently,
    Delay,
    DropConnection,
    Freeze,
    HalfOpen,
    NightlyRestart,
    OmitEnds,
    RefuseConnects,
    ResetPort,
    Restart,
    SilentAfterHandshake,
    SplitWrites,
)
from ibstream_gateway_emulator.faults.verbs_link import (
    CompetingSession,
    FailHistory,
    FailLiveUpdates,
    FarmDown,
    FarmUp,
    ForgetSubscriptions,
    Halt,
    LoseLink,
    MarketDataPermission,
    RestoreLink,
)
from ibstream_gateway_emulator.faults.verbs_orders import (
    CancelError,
    CancelOrder,
    CommissionBeforeExecution,
    CorrectExecution,
    DuplicateOrderStatus,
    Fill,
    LoseAcknowledgement,
    LoseOrder,
    OmitOrders,
    OrderEvent,
    OrderWarning,
    ReadOnlyApi,
    RejectOrders,
    RollBackOrderIds,
)


class Clear(Event, frozen=True, kw_only=True):
    """End states, as if their time were over: sockets that are half open are cut, the link comes back, farms are up."""

    fault: str | None = None
    """The verb whose state ends, such as `delay`; None: all of them."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is no state."""
        if self.fault is not None and self.fault not in CLEARABLE:
            raise ValueError(f"fault: {self.fault!r} is nothing that lasts; known are {', '.join(sorted(CLEARABLE))}")


AnyVerb = (
    RefuseConnects
    | AcceptSilently
    | SilentAfterHandshake
    | DropConnection
    | HalfOpen
    | Freeze
    | Delay
    | SplitWrites
    | ResetPort
    | Restart
    | NightlyRestart
    | OmitEnds
    | LoseLink
    | RestoreLink
    | FarmDown
    | FarmUp
    | CompetingSession
    | MarketDataPermission
    | Halt
    | ForgetSubscriptions
    | FailLiveUpdates
    | FailHistory
    | ReadOnlyApi
    | RejectOrders
    | OrderWarning
    | CancelError
    | CommissionBeforeExecution
    | DuplicateOrderStatus
    | LoseAcknowledgement
    | LoseOrder
    | OmitOrders
    | Fill
    | CancelOrder
    | CorrectExecution
    | RollBackOrderIds
    | Clear
)
"""Every verb there is."""

VERBS: dict[str, type[Verb]] = {str(verb.__struct_config__.tag): verb for verb in get_args(AnyVerb)}
"""Every verb, by its name."""
CLEARABLE = frozenset(name for name, verb in VERBS.items() if issubclass(verb, State)) | {"half_open"}
"""The names of all that lasts."""

COMMANDS_MAX = 1_000
"""Verbs in one list."""


class VerbError(ValueError):
    """What was commanded is no verb, or has a field that is none of its own. The text says which and what there is."""


def from_builtins(value: Any) -> Verb:
    """A verb out of a mapping, as JSON and YAML give it. Raises `VerbError`."""
    if not isinstance(value, dict):
        raise VerbError(f"a verb is a mapping with the field `verb`, not {value!r}")
    name = value.get("verb")
    if name not in VERBS:
        raise VerbError(f"there is no verb {name!r}; known are {', '.join(sorted(VERBS))}")
    try:
        verb: Verb = msgspec.convert(value, VERBS[name], strict=True)
    except (msgspec.ValidationError, ValueError) as error:
        raise VerbError(f"{name}: {error}; it takes {_fields(VERBS[name])}") from error
    return verb


def decode(body: bytes) -> list[Verb]:
    """One verb or a list of them, in JSON. Raises `VerbError`."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise VerbError(f"that is no JSON: {error}") from error
    values = value if isinstance(value, list) else [value]
    if len(values) > COMMANDS_MAX:
        raise VerbError(f"{len(values)} verbs at once; allowed are {COMMANDS_MAX}")
    return [from_builtins(one) for one in values]


def to_builtins(verb: Verb) -> dict[str, Any]:
    """The verb as a mapping, with its name under `verb` and all its fields."""
    mapping: dict[str, Any] = msgspec.to_builtins(verb)
    return mapping


def _fields(verb: type[Verb]) -> str:
    return ", ".join(verb.__struct_fields__) or "no fields"


__all__ = [
    "CLEARABLE",
    "COMMANDS_MAX",
    "VERBS",
    "AcceptSilently",
    "AnyVerb",
    "CancelError",
    "CancelOrder",
    "Clear",
    "CommissionBeforeExecution",
    "CompetingSession",
    "CorrectExecution",
    "Delay",
    "DropConnection",
    "DuplicateOrderStatus",
    "Event",
    "FailHistory",
    "FailLiveUpdates",
    "FarmDown",
    "FarmUp",
    "Fill",
    "ForgetSubscriptions",
    "Freeze",
    "HalfOpen",
    "Halt",
    "LoseAcknowledgement",
    "LoseLink",
    "LoseOrder",
    "MarketDataPermission",
    "NightlyRestart",
    "OmitEnds",
    "OmitOrders",
    "OrderEvent",
    "OrderScope",
    "OrderWarning",
    "ReadOnlyApi",
    "RefuseConnects",
    "RejectOrders",
    "ResetPort",
    "Restart",
    "RestoreLink",
    "RollBackOrderIds",
    "SilentAfterHandshake",
    "SplitWrites",
    "State",
    "Verb",
    "VerbError",
    "decode",
    "from_builtins",
    "to_builtins",
]
