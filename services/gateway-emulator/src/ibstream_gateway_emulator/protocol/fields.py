"""Typed reading and writing of a message's fields, one after the other, and the types several messages share."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import msgspec

from ibstream_gateway_emulator.protocol.errors import FieldError

DOUBLE_MAX = "1.7976931348623157E308"
"""How an unset number is written."""
INTEGER_MAX = "2147483647"
"""How an unset integer is written."""
INFINITE = "Infinity"
"""How an infinite number is written; the Python clients cannot read the `Infinite` that some of them write."""
ITEMS_MAX = 1_000_000
"""The most items that one list within a message may hold; what a frame has room for is a lower bound mostly."""

Number = int | float | Decimal

_UNSET_FROM, _UNSET_BELOW = Decimal("1e308"), Decimal("1e309")
"""The largest number of a language stands for an unset one, and each writes it rounded in its own way: all lie between."""
_DECIMAL_MAX = Decimal(2**127 - 1)
"""The official Python client's unset quantity."""
_INFINITY = Decimal("Infinity")
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_UNSET_CHARACTERS_MIN = len("1.8e308")
_NUMBER_MAX = Decimal(10) ** 15
"""Far above any price or quantity, far below where arithmetic would grow long."""
_DIGITS_MAX = 320
"""The largest number in full has 309 digits; longer texts are not even looked at."""
_ID = re.compile(r"-?[0-9]{1,10}")
"""Ids of messages, requests and orders; ten digits hold every number of 32 bits."""


class TagValue(msgspec.Struct, frozen=True):
    """One named value: an algo parameter, a security id."""

    tag: str
    value: str


class Contract(msgspec.Struct, frozen=True):
    """Twelve fields that name an instrument, in wire order; which of them are filled is the client's choice."""

    con_id: int = 0
    symbol: str = ""
    security_type: str = ""
    last_trade_date: str = ""
    strike: str = ""
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    @property
    def is_combination(self) -> bool:
        """Whether combination legs follow the contract."""
        return self.security_type == "BAG"


_NO_CONTRACT = Contract()


class Contract11(msgspec.Struct, frozen=True, kw_only=True):
    """The eleven fields that name an instrument in answers: those of a request without the primary exchange.

    `security_type` is STK, CASH, FUT, OPT, IND or BAG; `last_trade_date` is YYYYMMDD; `right` is C, P, `?` or empty.
    """

    con_id: int
    symbol: str
    security_type: str = "STK"
    last_trade_date: str = ""
    strike: str = "0.0"
    right: str = ""
    multiplier: str = ""
    exchange: str
    currency: str = "USD"
    local_symbol: str
    trading_class: str

    @property
    def is_combination(self) -> bool:
        """Whether it stands for several instruments traded as one."""
        return self.security_type == "BAG"


def text_of(value: str | bool | Number | None) -> str:
    """One value as a field: None is empty, a flag 1 or 0, a number without exponent where it is a Decimal."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(value) if -_INFINITE_FLOAT < value < _INFINITE_FLOAT else _special(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else _special(float(value))
    return str(value)


_INFINITE_FLOAT = float("inf")


def _special(value: float) -> str:
    if value == _INFINITE_FLOAT:
        return INFINITE
    raise FieldError(f"{value} cannot be written")


class Cursor:
    """Reads fields from left to right. Every method raises `FieldError` where the field is missing or of another type."""

    def __init__(self, fields: tuple[str, ...], start: int, server_version: int) -> None:
        self._fields = fields
        self._next = start
        self.server_version = server_version
        """The version spoken; some fields exist from a version on, or up to one."""
        self.contract = _NO_CONTRACT
        """The contract read last; whether legs follow depends on it."""

    @property
    def left(self) -> int:
        """How many fields are still to be read."""
        return max(len(self._fields) - self._next, 0)

    def text(self) -> str:
        """The field as it stands."""
        try:
            value = self._fields[self._next]
        except IndexError:
            raise FieldError(f"field {self._next + 1} is missing") from None
        self._next += 1
        return value

    def peek_integer(self, ahead: int) -> int:
        """The whole number `ahead` fields further on, which is not read yet."""
        place, self._next = self._next, self._next + ahead
        try:
            return self.integer()
        finally:
            self._next = place

    def integer(self) -> int:
        """A whole number of 32 bits; empty is 0."""
        return self._whole(self.text() or "0", _INT32_MAX, "32 bits")

    def long(self) -> int:
        """A whole number of 64 bits; empty is 0."""
        return self._whole(self.text() or "0", _INT64_MAX, "64 bits")

    def optional_integer(self) -> int | None:
        """A whole number of 32 bits; None where it is empty or unset."""
        value = self.text()
        is_unset = value in ("", INTEGER_MAX) or _is_unset_text(value)
        return None if is_unset else self._whole(value, _INT32_MAX, "32 bits")

    def flag(self) -> bool:
        """`1`, `0` or empty, or the words true and false."""
        value = self.text()
        if value not in _FLAGS:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not 0 or 1")
        return _FLAGS[value]

    def decimal(self) -> Decimal | None:
        """A number; None where it is empty or unset."""
        value = self.text()
        if not value:
            return None
        try:
            number = Decimal(_plain(value))
        except InvalidOperation:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a number") from None
        if _is_unset(number):
            return None
        if not number.is_finite() or abs(number) > _NUMBER_MAX:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a number that can be meant")
        return number

    def offset(self) -> Decimal | None:
        """A number that may be infinite, as only the offset of a PEG BEST order may; None where it is empty or unset."""
        if self.left and self._fields[self._next] in (INFINITE, "Infinite"):
            self._next += 1
            return _INFINITY
        return self.decimal()

    def number(self) -> Decimal:
        """A number; empty is 0, as clients take it."""
        value = self.decimal()
        return Decimal(0) if value is None else value

    def count(self, items_max: int = ITEMS_MAX) -> int:
        """How many items follow. Refused is what no list can hold, or what the rest of the message has no room for."""
        number = self.integer()
        if not 0 <= number <= min(items_max, self.left):
            raise FieldError(f"field {self._next} counts {number} items, which the message cannot hold")
        return number

    def twelve(self) -> Contract:
        """A contract; a strike that a client wrote as the largest number is empty."""
        con_id, symbol, security_type, last_trade_date, strike = self.integer(), *(self.text() for _ in range(4))
        strike = "" if _is_unset_text(strike) else strike
        rest = (self.text() for _ in range(7))
        self.contract = Contract(con_id, symbol, security_type, last_trade_date, strike, *rest)
        return self.contract

    def _whole(self, value: str, largest: int, size: str) -> int:
        try:
            number = int(_plain(value))
        except ValueError:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a whole number") from None
        if abs(number) > largest:
            raise FieldError(f"field {self._next} is {number}, beyond {size}")
        return number


def id_of(text: str) -> int | None:
    """The id of a message, a request or an order; None for what is no plain whole number of at most ten digits."""
    return int(text) if _ID.fullmatch(text) else None


def _plain(value: str) -> str:
    """The text, or one that is no number where Python would take for a number what no Gateway does: `1_000`, `٣`."""
    is_plain = len(value) <= _DIGITS_MAX and value.isascii() and "_" not in value
    return value if is_plain else "not a number"


def _is_unset(number: Decimal) -> bool:
    return number.is_finite() and (_UNSET_FROM <= number < _UNSET_BELOW or number == _DECIMAL_MAX)


def _is_unset_text(value: str) -> bool:
    """Whether a text is one of the numbers that stand for an unset one; a short one never is."""
    if len(value) < _UNSET_CHARACTERS_MIN:
        return False
    try:
        return _is_unset(Decimal(_plain(value)))
    except InvalidOperation:
        return False


_FLAGS = {"1": True, "0": False, "": False, "true": True, "false": False, "True": True, "False": False}


class Pen:
    """Writes fields from left to right; the counterpart of `Cursor`."""

    def __init__(self, server_version: int) -> None:
        self.fields: list[str] = []
        """What has been written."""
        self.server_version = server_version
        """The version spoken; some fields exist from a version on, or up to one."""
        self.contract: Contract | Contract11 = _NO_CONTRACT
        """The contract written last; whether legs follow depends on it."""

    def put(self, value: str | bool | Number | None) -> None:
        """Write one value. Raises `FieldError` for a text that holds the NUL which ends a field."""
        if isinstance(value, str):
            if "\0" in value:
                raise FieldError(f"{value[:32]!r} holds a NUL")
            self.fields.append(value)
        else:
            self.fields.append(str(value) if type(value) is int else text_of(value))
