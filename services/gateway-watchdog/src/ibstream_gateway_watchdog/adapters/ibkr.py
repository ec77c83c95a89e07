"""The real Gateway, or a stand-in that speaks its protocol."""

from __future__ import annotations

from ibstream.ibkr.probe import probe
from ibstream.runtime.clock import Clock
from ibstream_gateway_watchdog.domain.gateway import GatewayView


class HandshakeProbe:
    """Looks by the API handshake."""

    def __init__(self, host: str, port: int, *, timeout_s: float, clock: Clock) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._clock = clock

    @property
    def address(self) -> str:
        """`host:port` of the Gateway."""
        return f"{self._host}:{self._port}"

    async def look(self) -> GatewayView:
        """What is there now."""
        result = await probe(self._host, self._port, timeout_s=self._timeout_s, clock=self._clock)
        return GatewayView(
            up=result.ok,
            checked_at=self._clock.now(),
            latency_s=result.latency_s,
            server_version=result.server_version,
            connection_time=result.connection_time,
            code=result.failure or "",
            text=result.text,
        )
