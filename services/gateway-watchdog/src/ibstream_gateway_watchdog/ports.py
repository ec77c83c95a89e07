"""What the watchdog needs from the world besides the bus."""

from __future__ import annotations

from typing import Protocol

from ibstream_gateway_watchdog.domain.gateway import GatewayView


class GatewayProbe(Protocol):
    """Looks whether the Gateway is there.

    A look takes no client id, disturbs no session and ends within its own deadline. It does not raise: that the Gateway is
    away is an answer.
    """

    @property
    def address(self) -> str:
        """`host:port` of the Gateway."""
        ...

    async def look(self) -> GatewayView:
        """What is there now."""
        ...
