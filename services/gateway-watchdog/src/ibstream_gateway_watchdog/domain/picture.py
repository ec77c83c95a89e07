"""What is known of every instance of every service, merged from heartbeats and edges.

Heartbeats say everything and are read every half second; edges say that a connection came or went, and arrive at once. So an
edge must not be undone by a heartbeat that was written before it and read after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from ibstream.contracts.registry import HEARTBEAT_TTL_S
from ibstream.contracts.system import ConnectionState, Disconnected, Heartbeat, Reconnected, ServiceReport

Key = tuple[str, str]
"""Service and instance."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The latest that is known of one instance."""

    report: ServiceReport
    at: datetime
    """The instance's own time of it."""
    edge_holds_until: float = 0.0
    """Monotonic seconds. Until then this is an edge that outranks heartbeats stamped before it and their absence. No longer
    than a heartbeat lives: one read after that was written after the edge, whatever a clock that was set says."""


Picture = Mapping[Key, Sighting]


def after_edge(picture: Picture, edge: Disconnected | Reconnected, now_s: float) -> Picture:
    """The picture after an edge; unchanged if something newer is known. `now_s` is monotonic."""
    key = (edge.service, edge.instance)
    known = picture.get(key)
    if known is not None and known.at > edge.at:
        return picture
    lost = isinstance(edge, Disconnected)
    report = ServiceReport(
        service=edge.service,
        instance=edge.instance,
        state=ConnectionState.BACKING_OFF if lost else ConnectionState.READY,
        reason=edge.reason if isinstance(edge, Disconnected) else "",
        client_id=known.report.client_id if known is not None else 0,
    )
    return {**picture, key: Sighting(report, edge.at, now_s + HEARTBEAT_TTL_S)}


def after_scan(picture: Picture, heartbeats: Iterable[Heartbeat], now_s: float) -> Picture:
    """The picture after all heartbeats were read; an instance without one is gone. `now_s` is monotonic."""
    beats = {(beat.service, beat.instance): beat for beat in heartbeats}
    seen = {key: _merged(picture.get(key), beat, now_s) for key, beat in beats.items()}
    held = {key: known for key, known in picture.items() if key not in beats and known.edge_holds_until > now_s}
    return {**seen, **held}


def _merged(known: Sighting | None, beat: Heartbeat, now_s: float) -> Sighting:
    if known is None:
        return Sighting(_report(beat, beat.reason), beat.at)
    if known.edge_holds_until > now_s and known.at > beat.at:
        report = msgspec.structs.replace(known.report, client_id=beat.client_id)
        return replace(known, report=report)
    return Sighting(_report(beat, beat.reason or _reason_kept(known.report, beat.state)), beat.at)


def _reason_kept(known: ServiceReport, state: ConnectionState) -> str:
    """While it tries again, a service still is disconnected for the reason it gave when it lost its connection."""
    trying = state in (ConnectionState.CONNECTING, ConnectionState.BACKING_OFF)
    return known.reason if trying and is_connected(known) is not True else ""


def _report(beat: Heartbeat, reason: str) -> ServiceReport:
    return ServiceReport(
        service=beat.service, instance=beat.instance, state=beat.state, reason=reason, client_id=beat.client_id
    )


def is_connected(report: ServiceReport) -> bool | None:
    """Whether it has its connection; None on the way there, which is no news."""
    if report.state is ConnectionState.READY:
        return True
    lost = (ConnectionState.BACKING_OFF, ConnectionState.DEGRADED, ConnectionState.STOPPED)
    return False if report.state in lost else None


@dataclass(frozen=True, slots=True)
class ConnectionNews:
    """An instance got or lost its connection, or vanished."""

    service: str
    instance: str
    connected: bool
    reason: str
    words: str
    """`connected`, `disconnected` or `absent`."""


def news(told: Mapping[Key, bool], picture: Picture) -> tuple[dict[Key, bool], list[ConnectionNews]]:
    """What has changed since `told` (whether each instance was last said to be connected), and what is told then."""
    now_told: dict[Key, bool] = {}
    found: list[ConnectionNews] = []
    for key, sighting in picture.items():
        connected = is_connected(sighting.report)
        if connected is None:
            now_told.update({key: told[key]} if key in told else {})
            continue
        now_told[key] = connected
        if told.get(key) is not connected:
            words = "connected" if connected else "disconnected"
            found.append(ConnectionNews(*key, connected, sighting.report.reason, words))
    return now_told, [*found, *_vanished(told, picture)]


def _vanished(told: Mapping[Key, bool], picture: Picture) -> Iterator[ConnectionNews]:
    for key, was_connected in told.items():
        if key not in picture and was_connected:
            yield ConnectionNews(*key, connected=False, reason="no heartbeat", words="absent")
