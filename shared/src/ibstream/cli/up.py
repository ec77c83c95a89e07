"""`ibstream up`: the four services against the configured Gateway and Redis, kept running until a signal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

import structlog

from ibstream.bus.embedded import EmbeddedServer
from ibstream.cli.environment import with_variables
from ibstream.cli.processes import Child, OnLine, Processes, Program
from ibstream.cli.services import SERVICE_MODULES
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.errors import EXIT_CONFIGURATION, ConfigurationError
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.settings import Settings, load_settings
from ibstream.runtime.supervise import STABLE_AFTER_S, unless

STOP_GRACE_S = 12.0
"""How long the services may take: a little longer than the 10 s after which each of them leaves by itself."""

GRACE_S = 25.0
"""For all of it, the embedded server last."""

RESTART_DELAYS = exponential(1.0, 30.0)

_log = structlog.get_logger(__name__)


async def up(stop: asyncio.Event) -> int:
    """Run until `stop` is set; raise `ConfigurationError` as soon as a setting must be changed first."""
    settings = load_settings()
    as_json = _json_wanted(settings)
    configure_logging("ibstream", level=settings.logging.level, format="json" if as_json else "console")
    environment = with_variables(os.environ, {"SA_LOGGING__FORMAT": "json" if as_json else "console"})
    if settings.redis.url.get_secret_value():
        await _run_services(environment, _passed_on if as_json else _prefixed, stop)
        return 0
    directory, port = settings.redis.data_dir / "redis", settings.redis.embedded_port
    async with EmbeddedServer(directory, port=port, clock=SYSTEM_CLOCK) as server:
        _log.info("up.redis_started", address=f"127.0.0.1:{server.port}", data=str(directory))
        await _run_services(environment, _passed_on if as_json else _prefixed, stop)
    return 0


async def _run_services(environment: Mapping[str, str], on_line: OnLine, stop: asyncio.Event) -> None:
    async with Processes(on_line) as processes:
        try:
            async with asyncio.TaskGroup() as group:
                for name, module in SERVICE_MODULES.items():
                    group.create_task(
                        keep_running(processes, Program(name, module, environment), stop=stop, clock=SYSTEM_CLOCK),
                        name=name,
                    )
        finally:
            for name in await processes.stop(grace_s=STOP_GRACE_S):
                _log.warning("up.service_killed", name=name, grace_s=STOP_GRACE_S)
    _log.info("up.stopped")


async def keep_running(processes: Processes, program: Program, *, stop: asyncio.Event, clock: Clock) -> None:
    """Run a program until `stop` is set, and start it again, ever more slowly, when it dies.

    Raises `ConfigurationError` with its last words when it ends with status 78: starting again would not help.
    """
    waits = RESTART_DELAYS()
    while not stop.is_set():
        started = clock.monotonic()
        child = await processes.start(program)
        _log.info("up.service_started", name=program.name, pid=child.process.pid)
        status = await unless(stop, child.wait())
        if status is None or stop.is_set():
            return
        if clock.monotonic() - started >= STABLE_AFTER_S:
            waits = RESTART_DELAYS()
        delay_s = _delay_after(child, status, next(waits))
        await unless(stop, clock.sleep(delay_s))


def _delay_after(child: Child, status: int, delay_s: float) -> float:
    if status == EXIT_CONFIGURATION:
        raise ConfigurationError(f"{child.name}: {child.last_words()}")
    _log.error("up.service_died", name=child.name, status=status, restart_in_s=delay_s, said=child.last_words())
    return delay_s


def _json_wanted(settings: Settings) -> bool:
    return settings.logging.format == "json" or (settings.logging.format == "auto" and not sys.stderr.isatty())


def _prefixed(name: str, line: str) -> None:
    sys.stderr.write(f"{name:>16} | {line}\n")
    sys.stderr.flush()


def _passed_on(_name: str, line: str) -> None:
    """Records name their service themselves."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
