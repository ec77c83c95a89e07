"""Streams `system:<service>:disconnected|reconnected`, `system:mode`, `system:control`, and the heartbeat and status keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from ibstream.contracts.base import Message, Text, UtcDatetime
from ibstream.contracts.orders import ClientOrderId


class ConnectionState(StrEnum):
    """Where a service's connection to IBKR stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    SYNCHRONISING = "synchronising"
    READY = "ready"
    DEGRADED = "degraded"
    """Connected to the Gateway, which has lost its link to IBKR."""
    BACKING_OFF = "backing_off"
    STOPPED = "stopped"


class Disconnected(Message, frozen=True, kw_only=True, tag="system.disconnected.v1"):
    """A service lost its connection, or found none at start."""

    service: str
    instance: str
    reason: Text
    at: UtcDatetime


class Reconnected(Message, frozen=True, kw_only=True, tag="system.reconnected.v1"):
    """A service is ready for work, for the first time or again."""

    service: str
    instance: str
    first: bool
    """True for the first time since the process started."""
    at: UtcDatetime


class Heartbeat(Message, frozen=True, kw_only=True, tag="system.heartbeat.v1"):
    """Key `system:heartbeat:<service>:<instance>`, renewed every second, gone 3 s after the process."""

    service: str
    instance: str
    """The slot of the replica: `0` for the first."""
    state: ConnectionState
    reason: Text = ""
    """Why the state is not `ready`."""
    provider: str
    gateway: str = ""
    """`host:port` it connects to; empty for a simulated provider."""
    client_id: int = 0
    account: str = ""
    paper_trading: bool = True
    link_up: bool = False
    """Whether the Gateway says that its link to IBKR is up."""
    details: dict[str, int | float | str] = {}
    """The service's own figures: `subscriptions`, `working_orders`, …"""
    version: str
    pid: int
    started_at: UtcDatetime
    at: UtcDatetime


class Mode(StrEnum):
    """What the system as a whole can do."""

    NORMAL = "normal"
    """Everything works."""
    DEGRADED = "degraded"
    """Something does not, and the reasons say what; the rest goes on."""
    MAINTENANCE = "maintenance"
    """Down within one of IBKR's reset windows; wait."""
    DOWN = "down"
    """No service is alive."""
    HALTED = "halted"
    """Trading is halted by a person; quotes and bars go on."""


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a service as the watchdog sees it."""

    service: str
    instance: str
    state: ConnectionState
    reason: str = ""
    client_id: int = 0


class ModeReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why the mode is not `normal`."""

    source: str
    """The service, `gateway`, `bus`, `operator` (a halt) or `watchdog` (it has not looked at everything yet)."""
    code: str
    """For machines: `disconnected`, `absent`, `link_lost`, `handshake_failed`, …"""
    text: str
    """For people: `broker: disconnected (connection refused)`."""


class ModeChanged(Message, frozen=True, kw_only=True, tag="system.mode.v1"):
    """The system's mode and why. Latest in key `system:status`, which expires if the watchdog falls silent."""

    mode: Mode
    reasons: list[ModeReason] = []
    services: list[ServiceReport] = []
    gateway_up: bool | None = None
    """Whether the Gateway answers the API handshake; None where no Gateway is used."""
    since: UtcDatetime
    """When this mode began."""
    at: UtcDatetime


class Halt(Message, frozen=True, kw_only=True, tag="system.halt.v1"):
    """Accept no new orders until `Resume`, also after a restart. Cancels still pass."""

    who: str
    why: Text
    cancel_orders: bool = False
    """Cancel every working order of ours, too, as soon as it can be done."""
    at: UtcDatetime


class Resume(Message, frozen=True, kw_only=True, tag="system.resume.v1"):
    """End a halt."""

    who: str
    why: Text = ""
    at: UtcDatetime


class AcceptPositions(Message, frozen=True, kw_only=True, tag="system.accept_positions.v1"):
    """Take what IBKR says is held for right, so that a position mismatch no longer blocks orders."""

    who: str
    why: Text
    account: str = ""
    """Empty for the broker's own."""
    con_id: int = 0
    """0 for every instrument."""
    at: UtcDatetime


class SettleOrder(Message, frozen=True, kw_only=True, tag="system.settle_order.v1"):
    """Give an order that stays `unknown` the outcome that a person found at IBKR; nothing is sent.

    Obeyed only where the order is `unknown` and has been since before `at`; an order that IBKR works all the same is cancelled
    when it is seen. No fill is made up: the order counts as filled what its fills say.
    """

    who: str
    why: Text
    client_order_id: ClientOrderId
    status: Literal["filled", "cancelled", "rejected"]
    """`rejected` only where none of it filled."""
    at: UtcDatetime


class Reconnect(Message, frozen=True, kw_only=True, tag="system.reconnect.v1"):
    """Drop the connection to IBKR and make a new one; `service` empty for all."""

    who: str
    service: str = ""
    at: UtcDatetime


class RestartGateway(Message, frozen=True, kw_only=True, tag="system.restart_gateway.v1"):
    """Ask the watchdog to restart the Gateway through its command server."""

    who: str
    why: Text
    at: UtcDatetime
