"""Connections without a client: they have not said startApi yet, or are mute by command. Their number and age are bounded."""

from __future__ import annotations

from collections.abc import Iterable

from ibstream_gateway_emulator.connection import Connection

STRAYS_MAX = 100
"""Connections without a client; of more than these the oldest are cut off, so that nobody is locked out."""
NAMELESS_S = 60.0
"""How long a connection may take until startApi. Those that are mute by command may stay."""


def overdue(connections: Iterable[Connection], now_s: float) -> list[Connection]:
    """The connections to cut off at `now_s`, in seconds of the monotonic clock."""
    strays = sorted((one for one in connections if one.is_stray), key=lambda one: one.since_s)
    surplus = max(len(strays) - STRAYS_MAX, 0)
    late = (one for one in strays[surplus:] if not one.is_mute and now_s - one.since_s >= NAMELESS_S)
    return [*strays[:surplus], *late]
