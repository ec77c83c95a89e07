"""What a decision against a request is."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Reason


class Refusal(msgspec.Struct, frozen=True):
    """Why not: a reason for machines and a sentence for people, which says what to do."""

    reason: Reason
    text: str


def shown(value: Decimal) -> str:
    """A number for a sentence: never longer than a dozen digits, however it was written."""
    return f"{value:.12g}"
