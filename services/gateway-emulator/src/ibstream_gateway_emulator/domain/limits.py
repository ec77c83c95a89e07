"""What a Gateway allows its clients. Each limit can be set, or lifted with None."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits in force. Source of the defaults: IBKR's TWS API documentation, as of 2025."""

    clients: int | None = 32
    """Clients connected at once; one more is turned away."""
    messages_per_s: int | None = 50
    """Messages one client may send in a second: error 100, and the third time the end of the connection."""
    market_data_lines: int | None = 100
    """Instruments quoted at once over all clients; error 101 beyond."""
    depth_lines: int | None = 3
    """Order books followed at once over all clients; error 309 beyond."""
    tick_by_tick_lines: int | None = 3
    """Tick-by-tick subscriptions at once over all clients; error 10190 beyond."""
    historical_requests: int | None = 50
    """Historical requests of one client that are open at once."""
    historical_pacing: bool = True
    """Whether bars of 30 seconds and less are rationed: error 162 for an identical request within 15 s, the sixth for one
    contract within 2 s and the sixty-first within 10 minutes."""
    account_updates: int | None = 1
    """Clients that may follow the account's updates at once; one more ends the oldest subscription with 2100."""

    @classmethod
    def lifted(cls) -> Limits:
        """No limits at all."""
        return cls(
            clients=None,
            messages_per_s=None,
            market_data_lines=None,
            depth_lines=None,
            tick_by_tick_lines=None,
            historical_requests=None,
            historical_pacing=False,
            account_updates=None,
        )
