"""The system's mode as a function of everything the watchdog knows.

| mode | when | what it allows |
|---|---|---|
| halted | an operator said so | quotes, bars, cancels; no new orders |
| down | Redis is away, or no service is alive | nothing |
| maintenance | all that is wrong is what a reset explains, and a reset window is open | waiting |
| degraded | a service, or any feed, is not ready, a link is down, or the Gateway is silent | what the reasons do not name |
| normal | none of these | everything |

The first row that fits decides. The reasons name everything that is wrong, whatever row decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ibstream.contracts.registry import SERVICES
from ibstream.contracts.system import ConnectionState, Halt, Mode, ModeReason, ServiceReport
from ibstream_gateway_watchdog.domain.gateway import GatewayView
from ibstream_gateway_watchdog.domain.windows import OpenWindow

OPERATOR, BUS, GATEWAY = "operator", "bus", "gateway"
"""The sources of reasons besides the services."""

FEED = "feed"
"""The service whose replicas share the work, so that what one of them does not do is not done."""

_STANDBY = "standby-"
"""How the names of instances begin that hold no slot."""

_CODES = {
    ConnectionState.DEGRADED: ("link_lost", "link to IBKR lost"),
    ConnectionState.SYNCHRONISING: ("synchronising", "synchronising"),
    # A service that tries again goes to and fro between these two; both are one state to anyone outside.
    ConnectionState.CONNECTING: ("disconnected", "disconnected"),
    ConnectionState.BACKING_OFF: ("disconnected", "disconnected"),
    ConnectionState.IDLE: ("idle", "idle"),
    ConnectionState.STOPPED: ("stopped", "stopped"),
}
"""Code and words of each state that is not ready, the nearest to ready first: of several replicas the best one speaks."""

_EXPLAINED_BY_RESET = {"link_lost", "synchronising"}
"""A reset takes IBKR's side of the link away. It ends no Gateway and no process of ours: one that is gone is gone, also at night,
and must not be waited for until the morning."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that the mode depends on."""

    services: Sequence[ServiceReport]
    """The instances of which there is a sign of life."""
    gateway: GatewayView | None
    """The latest probe; None where no Gateway is used."""
    halt: Halt | None = None
    """The halt in force."""
    bus_problem: str = ""
    """Why Redis cannot be used; empty while it can. Then nothing is known of the services."""
    reset_window: OpenWindow | None = None
    """The reset window that is open; None also where there is no IBKR to be reset."""


def decide(inputs: Inputs) -> tuple[Mode, list[ModeReason]]:
    """The mode and everything that keeps it from being normal."""
    troubles = list(_troubles(inputs))
    mode = _mode(inputs, troubles)
    reasons = [*_halts(inputs.halt), *troubles]
    if mode is Mode.MAINTENANCE and inputs.reset_window is not None:
        reasons.append(_window_reason(inputs.reset_window))
    return mode, reasons


def _mode(inputs: Inputs, troubles: list[ModeReason]) -> Mode:
    if inputs.halt is not None:
        return Mode.HALTED
    if inputs.bus_problem or not any(_is_alive(report) for report in inputs.services):
        return Mode.DOWN
    if not troubles:
        return Mode.NORMAL
    if inputs.reset_window is not None and all(trouble.code in _EXPLAINED_BY_RESET for trouble in troubles):
        return Mode.MAINTENANCE
    return Mode.DEGRADED


def _is_alive(report: ServiceReport) -> bool:
    return report.service in SERVICES and report.state is not ConnectionState.STOPPED


def _halts(halt: Halt | None) -> Iterator[ModeReason]:
    if halt is not None:
        why = f": {halt.why}" if halt.why else ""
        yield ModeReason(source=OPERATOR, code="halted", text=f"{OPERATOR}: trading halted by {halt.who}{why}")


def _troubles(inputs: Inputs) -> Iterator[ModeReason]:
    if inputs.bus_problem:
        yield ModeReason(source=BUS, code="unavailable", text=f"{BUS}: unavailable ({inputs.bus_problem})")
    if inputs.gateway is not None and not inputs.gateway.up:
        text = f"{GATEWAY}: no handshake ({inputs.gateway.text})"
        yield ModeReason(source=GATEWAY, code="handshake_failed", text=text)
    if not inputs.bus_problem:
        for service in SERVICES:
            yield from _service_trouble(service, [r for r in inputs.services if r.service == service])


def _service_trouble(service: str, reports: list[ServiceReport]) -> Iterator[ModeReason]:
    if not reports:
        yield ModeReason(source=service, code="absent", text=f"{service}: absent")
        return
    if _is_served(service, reports):
        return
    states = {report.state for report in reports}
    spoken = next(state for state in _CODES if state in states)
    code, words = _CODES[spoken]
    why = next((report.reason for report in reports if report.state is spoken and report.reason), "")
    text = f"{service}: {words} ({why})" if why else f"{service}: {words}"
    yield ModeReason(source=service, code=code, text=text)


def _is_served(service: str, reports: list[ServiceReport]) -> bool:
    """A lost link of any replica counts, because what that one serves stands still; otherwise one ready replica is enough, but of
    feeds, which share the symbols, no one that has a share may be amiss."""
    states = {report.state for report in reports}
    if ConnectionState.READY not in states or ConnectionState.DEGRADED in states:
        return False
    return service != FEED or all(report.state is ConnectionState.READY for report in reports if _has_a_share(report))


def _has_a_share(report: ServiceReport) -> bool:
    return report.state is not ConnectionState.STOPPED and not report.instance.startswith(_STANDBY)


def _window_reason(window: OpenWindow) -> ModeReason:
    text = f"{GATEWAY}: IBKR's {window.name}, until {window.until}"
    return ModeReason(source=GATEWAY, code="reset_window", text=text)
