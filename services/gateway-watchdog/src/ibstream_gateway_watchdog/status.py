"""Everything the watchdog knows now, and what follows from it: the mode, its reasons, and news of connections.

Fed synchronously, with no I/O of its own, so that a fact and its consequences are one step that nothing can come between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from ibstream.contracts.registry import SERVICES
from ibstream.contracts.system import (
    Disconnected,
    Halt,
    Heartbeat,
    Mode,
    ModeChanged,
    ModeReason,
    Reconnected,
    ServiceReport,
)
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream_gateway_watchdog.domain.gateway import GatewayView
from ibstream_gateway_watchdog.domain.mode import Inputs, decide
from ibstream_gateway_watchdog.domain.picture import ConnectionNews, Key, Picture, after_edge, after_scan, news
from ibstream_gateway_watchdog.domain.windows import window_at

STARTING = ModeReason(source="watchdog", code="starting", text="watchdog: starting")
"""The one reason until every part has been looked at once."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the status depends on besides the facts."""

    has_gateway: bool
    """Whether there is a Gateway to look at; False for simulated providers."""
    has_resets: bool
    """Whether IBKR's reset windows apply to it."""
    bus_parts: frozenset[str]
    """The parts of the watchdog that use Redis; the bus is well while all of them are."""


class Status:
    """The facts and their consequences.

    `on_mode` is called with each change of the mode or of its reasons, `on_news` with each connection that comes or goes.
    """

    def __init__(
        self,
        options: Options,
        *,
        clock: Clock,
        on_mode: Callable[[ModeChanged], None],
        on_news: Callable[[ConnectionNews], None],
    ) -> None:
        self._options = options
        self._clock = clock
        self._on_mode = on_mode
        self._on_news = on_news
        self._picture: Picture = {}
        self._told: dict[Key, bool] = {}
        self._halt: Halt | None = None
        self._bus_silent = set(options.bus_parts)
        self._bus_problems: dict[str, str] = {}
        self.gateway: GatewayView | None = None
        """The latest probe; None before the first and where there is no Gateway."""
        self._mode = Mode.DOWN
        self._reasons = [STARTING]
        self._since = clock.now()
        if not options.has_gateway:
            metrics.GATEWAY_UP.set(math.nan)  # neither up nor down: no alert may fire on it
        self._count_mode()

    @property
    def is_known(self) -> bool:
        """Whether everything was looked at once, so that the mode means something."""
        bus_known = bool(self._bus_problems) or not self._bus_silent
        return bus_known and (self.gateway is not None or not self._options.has_gateway)

    @property
    def bus_problem(self) -> str:
        """Why Redis cannot be used; empty while it can."""
        return next(iter(self._bus_problems.values()), "")

    @property
    def bus_up(self) -> bool:
        """Whether every part that uses Redis is served."""
        return not self._bus_problems and not self._bus_silent

    def misses_none(self, beats: Iterable[Heartbeat]) -> bool:
        """Whether every instance of the picture is among `beats`."""
        return set(self._picture) <= {(beat.service, beat.instance) for beat in beats}

    @property
    def reports(self) -> list[ServiceReport]:
        """The instances that give signs of life, in the order of the services; none while Redis is away."""
        if self.bus_problem:
            return []
        reports = [sighting.report for sighting in self._picture.values() if sighting.report.service in SERVICES]
        return sorted(reports, key=lambda report: (SERVICES.index(report.service), report.instance))

    def message(self) -> ModeChanged:
        """The state of everything now."""
        return ModeChanged(
            mode=self._mode,
            reasons=self._reasons,
            services=self.reports,
            gateway_up=self.gateway.up if self.gateway is not None else None,
            since=self._since,
            at=self._clock.now(),
        )

    def edge(self, edge: Disconnected | Reconnected) -> None:
        """A service said that its connection came or went."""
        self._see(after_edge(self._picture, edge, self._clock.monotonic()))

    def heartbeats(self, beats: Iterable[Heartbeat]) -> None:
        """All heartbeats there are."""
        self._see(after_scan(self._picture, beats, self._clock.monotonic()))

    def probed(self, view: GatewayView) -> None:
        """The Gateway was looked at."""
        if self.gateway is None or self.gateway.up is not view.up:
            _log_probe(view)
        self.gateway = view
        metrics.GATEWAY_UP.set(view.up)
        self.refresh()

    def halted(self, halt: Halt | None) -> None:
        """Trading was halted, or may go on."""
        self._halt = halt
        self.refresh()

    def bus_works(self, part: str) -> None:
        """A part of the watchdog was served by Redis."""
        self._bus_silent.discard(part)
        if self._bus_problems.pop(part, None) and not self._bus_problems:
            _log.info("bus.back")
        self.refresh()

    def bus_failed(self, part: str, problem: str) -> None:
        """A part of the watchdog was not served by Redis."""
        self._bus_silent.discard(part)
        if not self._bus_problems:
            _log.error("bus.unavailable", problem=problem)
        self._bus_problems[part] = problem
        self.refresh()

    def refresh(self) -> None:
        """Derive the mode anew; for reset windows, which open and close by themselves."""
        if not self.is_known:
            return
        mode, reasons = decide(self._inputs(self._clock.now()))
        is_news = (mode, _codes(reasons)) != (self._mode, _codes(self._reasons))
        if mode is not self._mode:
            self._since = self._clock.now()
        self._mode, self._reasons = mode, reasons
        if is_news:
            self._count_mode()
            _log.info("mode.changed", mode=mode, reasons=[reason.text for reason in reasons])
            self._on_mode(self.message())

    def _inputs(self, now: datetime) -> Inputs:
        return Inputs(
            services=self.reports,
            gateway=self.gateway,
            halt=self._halt,
            bus_problem=self.bus_problem,
            reset_window=window_at(now) if self._options.has_resets else None,
        )

    def _see(self, picture: Picture) -> None:
        self._picture = picture
        self._told, found = news(self._told, picture)
        for item in found:
            self._on_news(item)
        self.refresh()

    def _count_mode(self) -> None:
        for mode in Mode:
            metrics.MODE.labels(mode).set(mode is self._mode)


def _codes(reasons: list[ModeReason]) -> list[tuple[str, str]]:
    """What makes a change: the words of a reason may vary without being one."""
    return [(reason.source, reason.code) for reason in reasons]


def _log_probe(view: GatewayView) -> None:
    if view.up:
        _log.info("gateway.handshake", server_version=view.server_version, latency_s=round(view.latency_s, 4))
    else:
        _log.error("gateway.no_handshake", code=view.code, reason=view.text)
