"""Typed reading of a message's fields, one after the other, and the types several messages share."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from ibstream_gateway_emulator.protocol.errors import FieldError

DOUBLE_MAX = "1.7976931348623157E308"
"""How an unset number is written."""
INTEGER_MAX = "2147483647"
"""How an unset integer is written."""
_UNSET = Decimal(DOUBLE_MAX)
_INT32_MAX = 2**31 - 1
_NUMBER_MAX = Decimal(10) ** 15
"""Far above any price or quantity, far below where arithmetic would grow long."""


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


class Cursor:
    """Reads fields from left to right. Every method raises `FieldError` where the field is missing or of another type."""

    def __init__(self, fields: tuple[str, ...], start: int, server_version: int) -> None:
        self._fields = fields
        self._next = start
        self.server_version = server_version
        """The version spoken; some fields exist from a version on, or up to one."""
        self.contract = Contract()
        """The contract read last; whether legs follow depends on it."""

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
        value = self.text()
        try:
            number = int(value or 0)
        except ValueError:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a whole number") from None
        if abs(number) > _INT32_MAX:
            raise FieldError(f"field {self._next} is {number}, beyond 32 bits")
        return number

    def flag(self) -> bool:
        """`1`, `0` or empty, or the words true and false."""
        value = self.text().lower()
        if value not in ("1", "0", "", "true", "false"):
            raise FieldError(f"field {self._next} is {value[:32]!r}, not 0 or 1")
        return value in ("1", "true")

    def decimal(self) -> Decimal | None:
        """A number; None where it is empty or unset."""
        value = self.text()
        if not value:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a number") from None
        if number == _UNSET:
            return None
        if not number.is_finite() or abs(number) > _NUMBER_MAX:
            raise FieldError(f"field {self._next} is {value[:32]!r}, not a number that can be meant")
        return number

    def twelve(self) -> Contract:
        """A contract."""
        self.contract = Contract(self.integer(), *(self.text() for _ in range(11)))
        return self.contract
