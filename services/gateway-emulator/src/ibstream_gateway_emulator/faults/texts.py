"""What a commanded fault says where the command names no text of its own.

Source: IBKR's table of message codes and the words of real Gateways where they are known; the rest is marked.
"""

from __future__ import annotations

from collections.abc import Iterable

from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import UNKNOWN_CONTRACT, Code
from ibstream_gateway_emulator.faults import verbs

HISTORY = {
    162: codes.pacing_violation().text,
    200: UNKNOWN_CONTRACT.text,
    321: "Error validating request.-'em' : cause - Historical data request is invalid",
    322: "Error processing request.-'em' : cause - Historical data request failed",
    366: "No historical data query found for ticker id",
}
"""Texts of failed requests for history. Those of 321 and 322 are ours: real ones name the cause."""
DIFFERENT_ADDRESS = codes.no_history("Trading TWS session is connected from a different IP address")
NO_HISTORY_FARM = codes.no_history("HMDS server disconnect occurred.  Attempting reconnection...")
"""Not confirmed by a real Gateway under this code."""

PERMISSION = {
    354: "Requested market data is not subscribed.",
    10089: "Requested market data requires additional subscription for API. See link in 'Market Data Connections' dialog "
    "for more details.Delayed market data is available.",
    10167: codes.SHOWING_DELAYED.text,
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
}

WARNING = {
    399: "Order Message:\nWarning: your order will not be placed at the exchange until the next session opens",
    10349: "Order TIF was set to DAY based on order preset.",
}
"""The first in the form of a Gateway's, which names instrument and time."""

LINK_BACK = 1102
_LINK_BACK = "Connectivity between IBKR and Trader Workstation has been restored - data maintained."

FARMS = {"market_data": "usfarm", "history": "ushmds", "security_definitions": "secdefnj"}
BROKEN, OK = 0, 1
FARM_CODES = {"market_data": (2103, 2104), "history": (2105, 2106), "security_definitions": (2157, 2158)}
"""What is said of each kind of farm when it is lost and when it is back."""


def farm_lost(verb: verbs.FarmDown) -> Code:
    """A farm is lost."""
    return codes.farm(FARM_CODES[verb.farm][BROKEN], verb.farm_name or FARMS[verb.farm])


def farm_back(verb: verbs.FarmDown | verbs.FarmUp) -> Code:
    """A farm is back."""
    return codes.farm(FARM_CODES[verb.farm][OK], verb.farm_name or FARMS[verb.farm])


def is_about(verb: verbs.FarmDown, code: int, name: str) -> bool:
    """Whether the farm of that notice, which says it is well, is the one that is lost."""
    return FARM_CODES[verb.farm][OK] == code and verb.farm_name in (None, name)


def link_lost(verb: verbs.LoseLink) -> Code:
    """IBKR is lost."""
    return codes.SERVER_LINK_LOST if verb.code == codes.SERVER_LINK_LOST.code else codes.LINK_LOST


def link_back(connected: Iterable[str], missing: Iterable[str]) -> Code:
    """IBKR is back and no data was lost; which farms are connected, and which are not.

    The form that names missing farms is not confirmed by a real Gateway.
    """
    here, away = "; ".join(connected), "; ".join(missing)
    said = [f"All data farms are connected: {here}." if here and not away else ""]
    if away:
        said = [
            f"The following farms are connected: {here}." if here else "",
            f"The following farms are not connected: {away}.",
        ]
    return Code(LINK_BACK, " ".join([_LINK_BACK, *filter(None, said)]))


def rejection(verb: verbs.RejectOrders) -> Code:
    """Why an order is rejected."""
    return Code(verb.code, verb.text if verb.text is not None else codes.INSUFFICIENT_FUNDS.text)


def warning(verb: verbs.OrderWarning) -> Code:
    """What is said of an order that works."""
    default = WARNING.get(verb.code, f"Order message {verb.code}.")
    return Code(verb.code, verb.text if verb.text is not None else default)


def history(verb: verbs.FailHistory) -> Code:
    """Why there are no bars."""
    return Code(verb.code, verb.text if verb.text is not None else HISTORY[verb.code])
