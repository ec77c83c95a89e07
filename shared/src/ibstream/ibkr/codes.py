"""What IBKR's codes mean: one table, no I/O. A code that is not in it is `UNLISTED`: counted, logged and shown.

Source: IBKR's message codes and field reports, collected for this project; what IBKR does not document is marked so.
"""

from __future__ import annotations

from enum import StrEnum


class CodeClass(StrEnum):
    """What a code is about, and so what to do."""

    LINK_LOST = "link_lost"
    """The Gateway lost its link to IBKR: nothing may be sent."""
    LINK_RESTORED = "link_restored"
    """The link is back and subscriptions are kept: reconcile, and check that quotes flow."""
    LINK_RESTORED_DATA_LOST = "link_restored_data_lost"
    """The link is back and subscriptions are gone: subscribe again, reconcile."""
    FARM_BROKEN = "farm_broken"
    """A data farm is away. Never concerns the order path."""
    FARM_OK = "farm_ok"
    FARM_IDLE = "farm_idle"
    """Inactive, but there on demand; normal after hours."""
    CLIENT_ID_IN_USE = "client_id_in_use"
    PORT_CHANGED = "port_changed"
    COMPETING_SESSION = "competing_session"
    """The same user is logged in elsewhere and takes the market data."""
    ACCOUNT_UPDATES = "account_updates"
    """Another client took or holds the account updates."""
    ORDER_REJECTED = "order_rejected"
    """The order is not alive."""
    ORDER_CANCELLED = "order_cancelled"
    ORDER_WARNING = "order_warning"
    """The order lives; the text is for people."""
    ORDER_HELD = "order_held"
    """Alive, waiting (for shares to borrow)."""
    ORDER_UNKNOWN = "order_unknown"
    """Whether the order lives is not said: reconcile, never resend."""
    MODIFY_REJECTED = "modify_rejected"
    """The order lives as it was."""
    CANCEL_REJECTED = "cancel_rejected"
    """The cancel did nothing; the order may be filled: reconcile."""
    READ_ONLY = "read_only"
    """The Gateway's API is in read-only mode (321 with that text)."""
    VALIDATION = "validation"
    """Our request was malformed, or not allowed as it stood (320, 321, 322)."""
    UNKNOWN_CONTRACT = "unknown_contract"
    PACING = "pacing"
    """Too much, too fast."""
    NO_DATA = "no_data"
    """An answer: there is none."""
    CAPACITY = "capacity"
    """All lines are in use."""
    NO_PERMISSION = "no_permission"
    """This market data is not subscribed."""
    DELAYED_DATA = "delayed_data"
    """Not subscribed; delayed ticks follow."""
    LIVE_UPDATES_LOST = "live_updates_lost"
    BENIGN = "benign"
    """The echo of a race that needs no action."""
    INFO = "info"
    UNLISTED = "unlisted"


_C = CodeClass

_TABLE: dict[CodeClass, tuple[int, ...]] = {
    _C.LINK_LOST: (1100, 2110),
    _C.LINK_RESTORED: (1102,),
    _C.LINK_RESTORED_DATA_LOST: (1101,),
    _C.FARM_BROKEN: (2103, 2105, 2157),
    _C.FARM_OK: (2104, 2106, 2158),
    _C.FARM_IDLE: (2107, 2108, 2119),
    _C.CLIENT_ID_IN_USE: (326,),
    _C.PORT_CHANGED: (1300,),
    _C.COMPETING_SESSION: (10197,),
    _C.ACCOUNT_UPDATES: (2100, 2101),
    _C.ORDER_REJECTED: (
        *(103, 106, 107, 109, 110, 111, 113, 154, 158, 159, 163, 164, 201, 203, 334, 336, 337, 343, 351, 355, 382, 383),
        *(387, 388, 391, 400, 411, 412, 413, 426, 434, 435, 436, 439, 440, 441, 442, 443, 451, 460, 10006, 10015),
        *(10240, 10242, 10243, 10244, 10245, 10246, 10247, 10248, 10249, 10250, 10251, 10252, 10268, 10269, 10270),
        *(10285, 10289, 10293, 10318, 10340),
    ),
    _C.ORDER_CANCELLED: (202,),
    _C.ORDER_WARNING: (399, 481, 2109, 2111, 2137, 2161, 10311, 10327, 10329, 10349),  # 2161: undocumented
    _C.ORDER_HELD: (404,),
    # 10149 is undocumented; 10324 and 10326 come as warnings and as refusals.
    _C.ORDER_UNKNOWN: (104, 133, 134, 135, 10147, 10149, 10324, 10326, 10328),
    _C.MODIFY_REJECTED: (105, 328, 329, 2102),
    _C.CANCEL_REJECTED: (136, 161, 10148),
    _C.VALIDATION: (102, 320, 321, 322, 327, 330, 331, 385, 386, 10295, 10299, 10300, 10301, 10314, 10339),
    _C.UNKNOWN_CONTRACT: (166, 200),
    _C.PACING: (100, 420),
    _C.NO_DATA: (162,),
    _C.CAPACITY: (101, 309, 10190),  # 10190: undocumented
    _C.NO_PERMISSION: (354, 10089, 10168, 10186, 10187, 10189),
    _C.DELAYED_DATA: (10090, 10091, 10167),
    _C.LIVE_UPDATES_LOST: (316, 317, 10182, 10225),
    _C.BENIGN: (300, 366),
    _C.INFO: (165, 492, 2174, 2188),
}

CODES: dict[int, CodeClass] = {code: kind for kind, codes in _TABLE.items() for code in codes}
"""Every listed code."""


def classify(code: int, text: str = "") -> CodeClass:
    """The class of a code; the text decides only where IBKR uses one code for several things."""
    folded = text.lower()
    if code in (162, 420, 10187, 10189) and "different ip" in folded:
        return _C.COMPETING_SESSION
    if code == 162:
        return _by_text_162(folded)
    if code == 321 and "read-only" in folded:
        return _C.READ_ONLY
    return CODES.get(code, _C.UNLISTED)


def _by_text_162(folded: str) -> CodeClass:
    """Historical data: one code for what must be told apart. No data is an answer, a pacing violation is not."""
    if "pacing" in folded:
        return _C.PACING
    if "no market data permissions" in folded:
        return _C.NO_PERMISSION
    if "invalid step" in folded or "time length exceed" in folded:
        return _C.VALIDATION
    if "cancelled" in folded:
        return _C.BENIGN
    return _C.NO_DATA if "no data" in folded else _C.UNLISTED


class Verdict(StrEnum):
    """What a code says about one order."""

    DEAD = "dead"
    """Refused: it never lived, or lives no more."""
    CANCELLED = "cancelled"
    CANCEL_REFUSED = "cancel_refused"
    """A cancel did nothing: the order stands as it stood, or it has filled or ended meanwhile."""
    ALIVE = "alive"
    """It lives as it was; the code is advice, or refuses a change."""
    UNCLEAR = "unclear"
    """Reconcile before anything is said or done."""


_DEAD = {_C.ORDER_REJECTED, _C.READ_ONLY, _C.VALIDATION, _C.UNKNOWN_CONTRACT}
_ERROR_WHILE_PROCESSING = 322
"""Says that something went wrong on the way, not that the order was refused before it."""

_ALIVE = {_C.ORDER_WARNING, _C.ORDER_HELD, _C.MODIFY_REJECTED, _C.INFO, _C.BENIGN, _C.DELAYED_DATA, _C.FARM_OK}


def order_verdict(code: int, text: str, *, acknowledged: bool) -> Verdict:
    """What `code` on an order's id means for it.

    `acknowledged`: IBKR has shown the order as its own (it has a permanent id). A refusal then refuses a change, and
    whether the order still lives is for reconciliation to say; ib_async would call it cancelled.
    """
    kind = classify(code, text)
    if kind is _C.ORDER_CANCELLED:
        return Verdict.CANCELLED
    if kind is _C.CANCEL_REJECTED:
        return Verdict.CANCEL_REFUSED
    if kind in _ALIVE:
        return Verdict.ALIVE
    if kind in _DEAD and code != _ERROR_WHILE_PROCESSING and not acknowledged:
        return Verdict.DEAD
    return Verdict.UNCLEAR
