"""IBKR's error codes and texts, as far as the emulator gives them.

Source: IBKR's table of message codes; texts of 103, 104, 105, 10147, 10148 and 2104 to 2158 as seen from real Gateways.
"""

from __future__ import annotations

from typing import NamedTuple

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


UNKNOWN_CONTRACT = Code(200, "No security definition has been found for the request")
CANNOT_MODIFY_FILLED = Code(104, "Cannot modify a filled order.")
DOES_NOT_MATCH = Code(105, "Order being modified does not match original order.")
DUPLICATE_ORDER_ID = Code(103, "Duplicate order id")
ORDER_CANCELED = Code(202, "Order Canceled - reason:")
CLIENT_ID_IN_USE = Code(326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
TYPE_CHANGE = Code(329, "Order modify failed. Cannot change to the new order type.")
UNSUPPORTED_ORDER_TYPE = Code(387, "Unsupported order type for this exchange and security type.")
PART_NOT_SUBSCRIBED = Code(
    10090, "Part of requested market data is not subscribed. Subscription-independent ticks are still active."
)
BAD_END_TIME = Code(
    10314,
    "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx "
    "where yyyymmdd and xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern",
)
FARMS_OK = (
    Code(2104, "Market data farm connection is OK:usfarm"),
    Code(2106, "HMDS data farm connection is OK:ushmds"),
    Code(2158, "Sec-def data farm connection is OK:secdefnj"),
)


def rejected(reason: str) -> Code:
    """An order that is not taken, and why."""
    return Code(201, f"Order rejected - reason:{reason}")


def unreadable(reason: str) -> Code:
    """A message with a field that cannot be read."""
    return Code(320, f"Error reading request. {reason}.")


def invalid(cause: str) -> Code:
    """A request whose fields can be read but make no sense."""
    return Code(321, f"Error validating request.-'em' : cause - {cause}")


def unsupported(what: str) -> Code:
    """Something a real Gateway does and this one does not.

    322 rather than 321, which ib_async takes for a warning and goes on waiting.
    """
    return Code(322, f"Error processing request.-'em' : cause - {what} is not supported by this emulator")


def duplicate_ticker(req_id: int) -> Code:
    """A request id that is in use."""
    return Code(322, f"Error processing request.-'em' : cause - Duplicate ticker id {req_id}")


def no_such_ticker(req_id: int) -> Code:
    """A cancel of a subscription that does not exist."""
    return Code(300, f"Can't find EId with tickerId:{req_id}")


def no_such_query(req_id: int) -> Code:
    """A cancel of a historical query that does not exist or has been answered."""
    return Code(366, f"No historical data query found for ticker id:{req_id}")


def no_data(symbol: str, what: str) -> Code:
    """A historical query without a result."""
    return _history(f"HMDS query returned no data: {symbol}@SMART {what.capitalize()}")


def query_cancelled(req_id: int) -> Code:
    """A historical query that was cancelled before its answer."""
    return _history(f"API historical data query cancelled: {req_id}")


def too_long() -> Code:
    """A historical query for more bars than are given at once."""
    return _history("Time length exceed max.")


def _history(text: str) -> Code:
    return Code(162, f"Historical Market Data Service error message:{text}")


def order_not_found(order_id: int) -> Code:
    """A cancel of an order id that was never used."""
    return Code(10147, f"OrderId {order_id} that needs to be cancelled is not found.")


def order_finished(order_id: int, status: str) -> Code:
    """A cancel of an order that has ended."""
    return Code(10148, f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {status}.")
