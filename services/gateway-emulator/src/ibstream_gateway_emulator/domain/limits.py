"""What a Gateway allows its clients. Each limit can be set, or lifted with None; what can be 0 then allows nothing."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ibstream_gateway_emulator.domain.checking import check

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits in force. Source of the defaults: IBKR's TWS API documentation, as of 2025.

    Raises `ConfigurationError` for a limit that is not allowed, however it is made.
    """

    clients: Positive | None = 32
    """Clients connected at once; one more is turned away."""
    messages_per_s: Positive | None = 50
    """Messages one client may send in a second: error 100, and the third time the end of the connection."""
    market_data_lines: Count | None = 100
    """Instruments quoted at once over all clients; error 101 beyond."""
    depth_lines: Count | None = 3
    """Order books followed at once over all clients; error 309 beyond."""
    tick_by_tick_lines: Count | None = 3
    """Tick-by-tick subscriptions at once over all clients; error 10190 beyond."""
    real_time_bars_per_10_min: Count | None = 60
    """New subscriptions to real-time bars within ten minutes over all clients; error 420 beyond."""
    historical_requests: Count | None = 50
    """Historical requests of one client that are open at once."""
    historical_pacing: bool = True
    """Whether bars of 30 seconds and less are rationed: error 162 for an identical request within 15 s, the sixth for one
    contract within 2 s and the sixty-first within 10 minutes."""
    account_updates: Positive | None = 1
    """Clients that may follow the account's updates at once; one more ends the oldest subscription with 2100."""
    account_summaries: Count | None = 2
    """Account summaries of one client at once; error 322 beyond."""

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def lifted(cls) -> Limits:
        """No limits at all."""
        return cls(
            clients=None,
            messages_per_s=None,
            market_data_lines=None,
            depth_lines=None,
            tick_by_tick_lines=None,
            real_time_bars_per_10_min=None,
            historical_requests=None,
            historical_pacing=False,
            account_updates=None,
            account_summaries=None,
        )
