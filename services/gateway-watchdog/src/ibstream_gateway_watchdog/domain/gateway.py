"""What the watchdog knows of the Gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class GatewayView:
    """The outcome of the latest handshake probe."""

    up: bool
    checked_at: datetime
    """When the probe ended, UTC."""
    latency_s: float
    """From the first packet to the whole reply, or to the failure."""
    server_version: int = 0
    """The API version agreed on; 0 without a handshake."""
    connection_time: str = ""
    """The Gateway's own time, as it wrote it."""
    code: str = ""
    """Why there was no handshake, for machines: `refused`, `timed_out`, … (`ibstream.ibkr.probe.ProbeFailure`)."""
    text: str = ""
    """The same for people."""
