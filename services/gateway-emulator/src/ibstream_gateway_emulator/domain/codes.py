"""IBKR's error codes and texts, as far as the emulator gives them: those that are always the same, then those that tell more.

Both are ordered by number. What the matching engine says, too, has its text there.
Source: IBKR's table of message codes; texts of 103, 104, 105, 10147, 10148 and 2104 to 2158 as seen from real Gateways.
"""

from __future__ import annotations

from typing import NamedTuple

from ibstream.simulation import rules
from ibstream_gateway_emulator.protocol.messages import Error


class Code(NamedTuple):
    """A code and its text, before it is known whom it answers."""

    code: int
    text: str

    def about(self, req_id: int) -> Error:
        """The error as the answer to a request or an order."""
        return Error(req_id, self.code, self.text)


class RequestError(Exception):
    """A request that cannot be answered, and the code to say so."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.text)
        self.code = code


_HISTORY = "Historical Market Data Service error message:"
_INVALID = "Error validating request.-'em' : cause - "
_NOT_DONE = "Error processing request.-'em' : cause - "

TOO_MANY_TICKERS = Code(101, "Max number of tickers has been reached")
DUPLICATE_ORDER_ID = Code(*rules.DUPLICATE_ORDER_ID)
CANNOT_MODIFY_FILLED = Code(104, "Cannot modify a filled order.")
DOES_NOT_MATCH = Code(*rules.DOES_NOT_MATCH)
UNKNOWN_CONTRACT = Code(200, "No security definition has been found for the request")
INSUFFICIENT_FUNDS = Code(*rules.INSUFFICIENT_FUNDS)
NO_COMBINATION = Code(321, f"{_INVALID}'BAG' isn't supported for contract data request")
NO_SECURITY_TYPE = Code(321, f"{_INVALID}Please enter a valid security type")
READ_ONLY = Code(321, f"{_INVALID}The API interface is currently in Read-Only mode.")
NO_LEGS = Code(321, f"{_INVALID}Missing or invalid combination legs")
CLIENT_ID_IN_USE = Code(326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
TYPE_CHANGE = Code(*rules.TYPE_CHANGE)
NO_GOOD_TILL_DATE = Code(334, "Invalid Good Till Date.")
BAD_GOOD_AFTER_TIME, BAD_GOOD_TILL_DATE = (
    Code(
        number,
        "The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx where yyyymmdd and "
        "xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern",
    )
    for number in (337, 343)
)
NO_WHAT_IF_OF_COMBINATION = Code(360, "What-If orders are not supported for smart combination orders.")
UNSUPPORTED_ORDER_TYPE = Code(*rules.UNKNOWN_TYPE)
WHAT_IF_NEEDS_TRANSMIT = Code(413, "What-If order should have the transmit-flag set to true.")
NO_GENERICS_IN_SNAPSHOT = Code(414, "Snapshot market data subscription is not applicable to generic ticks")
LINK_LOST = Code(1100, "Connectivity between IBKR and Trader Workstation has been lost.")
LINK_BACK_WITHOUT_DATA = Code(
    1101,
    "Connectivity between IBKR and Trader Workstation has been restored - data lost. "
    "The account and market data requests must be resubmitted.",
)
ACCOUNT_UPDATES_TAKEN = Code(
    2100, "New account data requested from TWS.  API client has been unsubscribed from account data."
)
_FARMS = {
    2103: "Market data farm connection is broken",
    2104: "Market data farm connection is OK",
    2105: "HMDS data farm connection is broken",
    2106: "HMDS data farm connection is OK",
    2107: "HMDS data farm connection is inactive but should be available upon demand.",
    2108: "Market data farm connection is inactive but should be available upon demand.",
    2119: "Market data farm is connecting",
    2157: "Sec-def data farm connection is broken",
    2158: "Sec-def data farm connection is OK",
}
OTHER_ACCOUNT_FOLLOWED = Code(
    2101, "Unable to subscribe to account as the following clients are subscribed to a different account."
)
SERVER_LINK_LOST = Code(
    2110, "Connectivity between Trader Workstation and server is broken. It will be restored automatically."
)
NO_TIME_ZONE = Code(
    2174,
    "Warning: You submitted request with date-time attributes without explicit time zone. Please switch to use "
    "yyyymmdd-hh:mm:ss in UTC or use instrument time zone, like US/Eastern. Implied time zone functionality will be removed "
    "in the next API release",
)
MISSING_PARENT = Code(*rules.NO_PARENT)
PART_NOT_SUBSCRIBED = Code(
    10090, "Part of requested market data is not subscribed. Subscription-independent ticks are still active."
)
NO_DEPTH_HERE = Code(10092, "Deep market data is not supported for this combination of security type/exchange")
SHOWING_DELAYED = Code(10167, "Requested market data is not subscribed. Displaying delayed market data.")
LIVE_UPDATES_FAILED = Code(10182, "Failed to request live updates (disconnected).")
TOO_MANY_TICK_BY_TICKS = Code(10190, "Max number of tick-by-tick requests has been reached")
COMPETING_SESSION = Code(10197, "No market data during competing live session")
NO_CASH_QUANTITY = Code(10244, "Cash Quantity cannot be used for this order.")
DAILY_SCHEDULE_ONLY = Code(10295, "Only daily resolution supported for Schedule requests")
TRADES_EXPECTED = Code(10299, "Expected what to show is TRADES, please use that instead of AGGTRADES.")
BAD_START_TIME, BAD_END_TIME = (
    Code(
        10314,
        f"{which} Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx "
        "where yyyymmdd and xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern",
    )
    for which in ("Start", "End")
)
OCA_REVISION = Code(10326, "OCA group revision is not allowed.")
NO_END_OF_CONTINUOUS = Code(10339, "Setting end date/time for continuous future security type is not allowed")


def too_many_messages(allowed: int, received: int, violation: int) -> Code:
    """More messages in a second than are allowed; `violation` counts them for this client."""
    return Code(100, f"Max rate of messages per second has been exceeded:max={allowed} rec={received} ({violation})")


def parent_ended(order_id: int) -> Code:
    """An order attached to one that has ended."""
    return Code(*rules.no_such_order(order_id))


def not_cancellable(perm_id: int) -> Code:
    """A cancel of an order that cannot be cancelled just now."""
    return Code(161, f"Cancel attempted when order is not in a cancellable state. Order permId ={perm_id}")


def no_history(text: str) -> Code:
    """A historical query without an answer, and why."""
    return Code(162, f"{_HISTORY}{text}")


def no_data(symbol: str, what: str, exchange: str = "SMART") -> Code:
    """A historical query without a result."""
    return no_history(f"HMDS query returned no data: {symbol}@{exchange} {what.capitalize()}")


def pacing_violation() -> Code:
    """A historical query that came too soon after others."""
    return no_history("Historical data request pacing violation")


def invalid_step(bar_s: int) -> Code:
    """Bars that are too small for the duration's unit."""
    return no_history(f"invalid step: {bar_s}")


def query_cancelled(req_id: int) -> Code:
    """A historical query that was cancelled before its answer."""
    return no_history(f"API historical data query cancelled: {req_id}")


def too_long() -> Code:
    """A historical query for more bars than are given at once."""
    return no_history("Time length exceed max.")


def ambiguous(symbol: str) -> Code:
    """A contract that fits several instruments where one is needed."""
    return Code(200, f"The contract description specified for {symbol} is ambiguous.")


def rejected(reason: str) -> Code:
    """An order that is not taken, and why."""
    return Code(*rules.rejected(reason))


def order_cancelled(reason: str = "") -> Code:
    """An order that has ended unfilled. IBKR gives no reason where the client asked for it."""
    return Code(202, f"Order Canceled - reason:{reason}")


def no_such_ticker(req_id: int) -> Code:
    """A cancel of a subscription that does not exist."""
    return Code(300, f"Can't find EId with tickerId:{req_id}")


def too_many_depths(allowed: int) -> Code:
    """More books at once than are allowed."""
    return Code(309, f"Max number ({allowed}) of market depth requests has been reached")


def no_such_depth(req_id: int) -> Code:
    """A cancel of a book that is not subscribed to."""
    return Code(310, f"Can't find the subscribed market depth with tickerId:{req_id}")


def unreadable(reason: str) -> Code:
    """A message with a field that cannot be read."""
    return Code(320, f"Error reading request. {reason}.")


def invalid(cause: str) -> Code:
    """A request whose fields can be read but make no sense."""
    return Code(321, f"{_INVALID}{cause}")


def wrong_generic_ticks(wrong: str, security_type: str, legal: str) -> Code:
    """A generic tick list with numbers that the instrument has not."""
    return invalid(f"Incorrect generic tick list of {wrong}.  Legal ones for ({security_type}) are: {legal}")


def unsupported(what: str) -> Code:
    """Something a real Gateway does and this one does not.

    322 rather than 321, which ib_async takes for a warning and goes on waiting.
    """
    return Code(322, f"{_NOT_DONE}{what} is not supported by this emulator")


def too_many_queries(allowed: int) -> Code:
    """One historical query more than may be open at once."""
    return Code(322, f"{_NOT_DONE}Only {allowed} simultaneous API historical data requests allowed.")


def too_many_summaries() -> Code:
    """One account summary more than may be open at once."""
    return Code(
        322, f"{_NOT_DONE}Maximum number of account summary requests exceeded; desubscribe to previous request first"
    )


def duplicate_ticker(req_id: int) -> Code:
    """A request id that is in use."""
    return Code(322, f"{_NOT_DONE}Duplicate ticker id {req_id}")


def too_many_clients(allowed: int) -> Code:
    """One client more than may be connected. The text is ours: none of a real Gateway is known."""
    return Code(326, f"Unable to connect as {allowed} clients are connected already, which is the maximum.")


def no_such_query(req_id: int) -> Code:
    """A cancel of a historical query that does not exist or has been answered."""
    return Code(366, f"No historical data query found for ticker id:{req_id}")


def not_before(order: str, moment: str) -> Code:
    """An order that waits for its exchange to open; `order` in words, as in `BUY 1 AAPL NASDAQ.NMS`."""
    return Code(399, f"Order Message:\n{order}\nWarning: Your order will not be placed at the exchange until {moment}.")


def bad_real_time_query(reason: str) -> Code:
    """A request for real-time bars that cannot be met."""
    return Code(420, f"Invalid Real-time Query:{reason}")


def port_reset(port: int) -> Code:
    """The API's port was changed."""
    return Code(
        1300,
        "TWS socket port has been reset and this connection is being dropped. "
        f"Please reconnect on the new port - {port}",
    )


def farm(code: int, name: str) -> Code:
    """How a data farm stands."""
    return Code(code, f"{_FARMS.get(code, 'Data farm')}:{name}")


def order_not_found(order_id: int) -> Code:
    """A cancel of an order id that was never used."""
    return Code(*rules.not_found(order_id))


def order_finished(order_id: int, status: str) -> Code:
    """A cancel of an order that has ended."""
    return Code(10148, f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {status}.")


def no_tick_by_tick(reason: str) -> Code:
    """A tick-by-tick request that cannot be met."""
    return Code(10189, f"Failed to request tick-by-tick data.{reason}")
