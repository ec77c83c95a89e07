"""Typed reading and writing of a message's fields, one after the other, and the types several messages share."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from ibstream_gateway_emulator.protocol.errors import FieldError

DOUBLE_MAX = "1.7976931348623157E308"
"""How an unset number is written."""
INTEGER_MAX = "2147483647"
"""How an unset integer is written."""
INFINITE = "Infinite"
"""How an infinite number is written."""
ITEMS_MAX = 1_000_000
"""The most items that one list within a message may hold; what a frame has room for is a lower bound mostly."""

Number = int | float | Decimal

_UNSET = Decimal(DOUBLE_MAX)
_INFINITY = Decimal("Infinity")
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_NUMBER_MAX = Decimal(10) ** 15
"""Far above any price or quantity, far below where arithmetic would grow long."""
_DIGITS_MAX = 64
"""No number takes more characters; longer ones are not even looked at."""


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
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else _special(float(value))
    if isinstance(value, float) and not -_INFINITE_FLOAT < value < _INFINITE_FLOAT:
        return _special(value)
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
        self.contract = Contract()
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

    def integer(self) -> int:
        """A whole number of 32 bits; empty is 0."""
        return self._whole(self.text() or "0", _INT32_MAX, "32 bits")

    def long(self) -> int:
        """A whole number of 64 bits; empty is 0."""
        return self._whole(self.text() or "0", _INT64_MAX, "64 bits")

    def optional_integer(self) -> int | None:
        """A whole number of 32 bits; None where it is empty or unset."""
        value = self.text()
        return self._whole(value, _INT32_MAX, "32 bits") if value not in ("", INTEGER_MAX) else None

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
            number = Decimal(value if len(value) <= _DIGITS_MAX else "too long")
        except InvalidOperation:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a number") from None
        if number == _UNSET:
            return None
        if not number.is_finite() or abs(number) > _NUMBER_MAX:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a number that can be meant")
        return number

    def offset(self) -> Decimal | None:
        """A number that may be infinite, as only the offset of a PEG BEST order may; None where it is empty or unset."""
        if self.left and self._fields[self._next] == INFINITE:
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
        """A contract."""
        self.contract = Contract(self.integer(), *(self.text() for _ in range(11)))
        return self.contract

    def _whole(self, value: str, largest: int, size: str) -> int:
        try:
            number = int(value if len(value) <= _DIGITS_MAX else "too long")
        except ValueError:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a whole number") from None
        if abs(number) > largest:
            raise FieldError(f"field {self._next} is {number}, beyond {size}")
        return number


_FLAGS = {"1": True, "0": False, "": False, "true": True, "false": False, "True": True, "False": False}


class Pen:
    """Writes fields from left to right; the counterpart of `Cursor`."""

    def __init__(self, server_version: int) -> None:
        self.fields: list[str] = []
        """What has been written."""
        self.server_version = server_version
        """The version spoken; some fields exist from a version on, or up to one."""
        self.contract: Contract | Contract11 = Contract()
        """The contract written last; whether legs follow depends on it."""

    def put(self, value: str | bool | Number | None) -> None:
        """Write one value. Raises `FieldError` for a text that holds the NUL which ends a field."""
        text = value if isinstance(value, str) else text_of(value)
        if "\0" in text:
            raise FieldError(f"{text[:32]!r} holds a NUL")
        self.fields.append(text)
