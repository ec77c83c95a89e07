"""What one emulator is told at its start."""

from __future__ import annotations

import msgspec


class EmulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one stand-in Gateway."""

    symbols: tuple[str, ...]
    """The stocks that can be traded, in canonical form."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 4002
    """0 takes any free port."""
    seed: int = 7
    """Of the market: the same seed shows the same prices in every process."""
    account: str = "DU9000001"
    cash: int = 1_000_000
    """USD in the account at the start."""
    tick_interval_ms: int = 250
    """How often quotes are sent and resting orders looked at; a Gateway sends stocks every 250 ms, too."""
    partial_fills: bool = False
    """Whether a fill is no larger than the size the touch shows; else orders fill whole."""
