"""Exact numbers: what a caller may give for a quantity or a price."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from ibstream.client.errors import InvalidRequestError

Number = Decimal | int | str
"""An exact number. Floats are not taken: 0.1 is not a tenth; write "0.1"."""


def decimal_of(value: Number, *, what: str) -> Decimal:
    """A quantity or price, exact; raise `InvalidRequestError` for anything else."""
    if isinstance(value, float):
        raise InvalidRequestError(
            f'{what} {value!r} is a float, which is not exact: write Decimal("{value}") or "{value}"'
        )
    try:
        number = value if isinstance(value, Decimal) else Decimal(value)
    except (InvalidOperation, ValueError):
        raise InvalidRequestError(f"{what} {value!r} is no decimal number") from None
    if not number.is_finite():
        raise InvalidRequestError(f"{what} {value!r} is no finite number")
    return number


def optional_decimal(value: Number | None, *, what: str) -> Decimal | None:
    """`decimal_of`, None staying None."""
    return None if value is None else decimal_of(value, what=what)
