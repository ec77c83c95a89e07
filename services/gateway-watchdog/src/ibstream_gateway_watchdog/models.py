"""The shape of `GET /api/system/health`, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from ibstream.contracts.registry import SERVICES
from ibstream.contracts.system import ConnectionState, Mode, ServiceReport
from ibstream_gateway_watchdog.domain.gateway import GatewayView
from ibstream_gateway_watchdog.service import Watchdog


class Reason(BaseModel):
    """Why the mode is not normal."""

    source: str = Field(description="`broker`, `data`, `feed`, `gateway`, `bus`, `operator` or `watchdog`")
    code: str = Field(description="for machines: `disconnected`, `absent`, `link_lost`, `handshake_failed`, …")
    text: str = Field(description="for people: `broker: disconnected (connection refused)`")


class Instance(BaseModel):
    """One replica of a service."""

    instance: str = Field(description="its slot; `0` for the first")
    state: ConnectionState
    reason: str = Field(description="why the state is not `ready`")
    client_id: int = Field(description="its client id at the Gateway; 0 without one")


class Gateway(BaseModel):
    """The latest handshake probe."""

    up: bool | None = Field(description="null before the first probe, and where the provider needs no Gateway")
    address: str = Field(description="`host:port`; empty where the provider needs no Gateway")
    server_version: int | None = Field(description="the API version agreed on")
    connection_time: str = Field(description="the Gateway's own time and zone, as it wrote it")
    latency_s: float | None = Field(description="seconds from the first packet to the whole reply, or to the failure")
    checked_at: datetime | None = Field(description="when the probe ended, UTC")
    code: str = Field(
        description="of the failure: `refused`, `unreachable`, `timed_out`, `closed`, `bad_reply`; else empty"
    )
    text: str = Field(description="the failure for people")


class BusState(BaseModel):
    """Redis."""

    up: bool
    address: str = Field(description="`host:port`, never a password")
    text: str = Field(description="why it cannot be used")


class SystemHealth(BaseModel):
    """Everything at a glance. Times are ISO 8601, UTC."""

    mode: Mode
    reasons: list[Reason] = Field(description="empty while the mode is normal")
    services: dict[str, list[Instance]] = Field(description="by service; an empty list where none gives a sign of life")
    gateway: Gateway
    bus: BusState
    since: datetime = Field(description="when this mode began")
    at: datetime = Field(description="when this was written")
    version: str


class Liveness(BaseModel):
    """The event loop turns."""

    service: str
    loop_silent_s: float


class Readiness(BaseModel):
    """Whether a first picture of everything exists."""

    service: str
    ready: bool
    reason: str


def system_health(watchdog: Watchdog, version: str) -> SystemHealth:
    """What the watchdog knows now."""
    message, status = watchdog.status.message(), watchdog.status
    return SystemHealth(
        mode=message.mode,
        reasons=[Reason(source=item.source, code=item.code, text=item.text) for item in message.reasons],
        services={name: [_instance(r) for r in message.services if r.service == name] for name in SERVICES},
        gateway=_gateway(watchdog.gateway_address, status.gateway),
        bus=BusState(up=status.bus_up, address=watchdog.bus_address, text=status.bus_problem),
        since=message.since,
        at=message.at,
        version=version,
    )


def _instance(report: ServiceReport) -> Instance:
    return Instance(instance=report.instance, state=report.state, reason=report.reason, client_id=report.client_id)


def _gateway(address: str, view: GatewayView | None) -> Gateway:
    return Gateway(
        up=view.up if view else None,
        address=address,
        server_version=view.server_version or None if view else None,
        connection_time=view.connection_time if view else "",
        latency_s=view.latency_s if view else None,
        checked_at=view.checked_at if view else None,
        code=view.code if view else "",
        text=view.text if view else "",
    )
