"""`ibstream demo`: the whole system on this machine, with a stand-in Gateway, on ports that no real one uses."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ibstream.bus import Bus
from ibstream.bus.embedded import EmbeddedServer
from ibstream.cli.demo_watch import DemoError, DemoOptions, DemoWatch
from ibstream.cli.environment import LOOPBACK, demo_environment, refuse_taken_ports, with_variables
from ibstream.cli.formats import as_json
from ibstream.cli.observed import Observed
from ibstream.cli.processes import Child, Processes, Program
from ibstream.cli.services import EMULATOR_MODULE, EMULATOR_NAME, SERVICE_MODULES
from ibstream.cli.terminal import EXIT_FAILURE, EXIT_TERMINATED, explain, result, say
from ibstream.contracts.registry import HEARTBEAT_PATTERN
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import IbstreamError
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.settings import Settings, load_settings
from ibstream.runtime.supervise import root_cause, unless

EMULATOR_TIMEOUT_S = 60.0
"""From the stand-in Gateway's start to its first answer; a cold machine takes a few seconds to load it."""

STOP_GRACE_S = 6.0
"""For the services; with the embedded server after them, all is gone within 10 s."""

GRACE_S = 9.5
_POLL_INTERVAL_S = 0.02


@dataclass(frozen=True)
class Ending:
    """How the demo's run ended."""

    interrupted: bool = False
    """A signal came before it was over."""
    failure: str = ""
    """Why it broke off; empty where it did not."""


async def demo(options: DemoOptions, stop: asyncio.Event, *, clock: Clock) -> int:
    """Bring everything up, watch it, stop everything; return the exit status.

    Changes this process's environment to that of its children, from which no real Gateway can be reached. Raises
    `DemoError` and `ConfigurationError` where it cannot begin.
    """
    settings = _enter_environment(options)
    configure_logging("demo", level="error", format="json")
    directory = settings.redis.data_dir.resolve() / "demo"
    with _sole_demo_in(directory.parent):
        await _refuse_what_is_taken(options, settings)
        if directory.exists():
            shutil.rmtree(directory)
        watch = DemoWatch(options, settings, clock=clock)
        ending = await _run(options, settings, directory, watch, stop, clock)
    return _verdict(options, watch.observed, ending)


def _enter_environment(options: DemoOptions) -> Settings:
    environment = demo_environment(
        os.environ, gateway_port=options.gateway_port, http_port=options.http_port, seed=options.seed
    )
    environment = with_variables(environment, {"SA_REDIS__EMBEDDED_PORT": str(options.redis_port)})
    os.environ.clear()
    os.environ.update(environment)
    settings = load_settings()
    # Quotes on another server would not be the demo's; with this, services and client alike see one bus.
    os.environ["SA_REDIS__QUOTES_URL"] = ""
    os.environ["SA_REDIS__URL"] = settings.redis.bus_url
    return settings


@contextlib.contextmanager
def _sole_demo_in(data_dir: Path) -> Iterator[None]:
    """Held while the demo runs, because the next one begins by deleting this one's data."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"another demo runs on {data_dir}; stop it, or set SA_REDIS__DATA_DIR to another directory"
            ) from None
        yield


async def _refuse_what_is_taken(options: DemoOptions, settings: Settings) -> None:
    ports = {"--gateway-port": options.gateway_port, "--http-port": options.http_port}
    if not settings.redis.url.get_secret_value():
        refuse_taken_ports({**ports, "--redis-port": options.redis_port})
        return
    refuse_taken_ports(ports)
    await _refuse_served_bus(settings.redis.bus_url)


async def _refuse_served_bus(url: str) -> None:
    """The demo's order must not reach a broker that is connected to a real account."""
    async with Bus(url, client_name="ibstream-demo") as bus:
        alive = await bus.values_matching(HEARTBEAT_PATTERN)
    if alive:
        raise DemoError(
            f"another ibstream serves the bus at {bus.address} ({', '.join(sorted(alive))}), and the demo's order could "
            "reach a real account; unset SA_REDIS__URL, or stop the other one"
        )


async def _run(
    options: DemoOptions, settings: Settings, directory: Path, watch: DemoWatch, stop: asyncio.Event, clock: Clock
) -> Ending:
    """The stand-in Gateway is started first and the rest as soon as it answers: who finds no Gateway waits for seconds."""
    programs = _programs(directory / "logs", options)
    async with Processes() as processes:
        try:
            gateway = await processes.start(programs.pop(EMULATOR_NAME))
            async with _redis(settings, directory, clock):
                try:
                    await unless(stop, _answers(gateway, options.gateway_port, clock))
                    for program in programs.values():
                        if not stop.is_set():
                            await processes.start(program)
                    await watch.run(processes, stop)
                finally:
                    _tell_killed(await processes.stop(grace_s=STOP_GRACE_S, last=[EMULATOR_NAME]))
        except (IbstreamError, BaseExceptionGroup) as error:
            cause = root_cause(error)
            if not isinstance(cause, IbstreamError):
                raise
            return Ending(failure=explain(cause))
    return Ending(interrupted=watch.interrupted)


def _programs(logs: Path, options: DemoOptions) -> dict[str, Program]:
    gateway = ("--host", LOOPBACK, "--port", str(options.gateway_port), "--seed", str(options.seed))
    # How many lines there are is for the feed's settings to say.
    arguments = {EMULATOR_NAME: (*gateway, "--market-data-lines", "none", "--log-format", "json")}
    modules = {EMULATOR_NAME: EMULATOR_MODULE, **SERVICE_MODULES}
    return {
        name: Program(name, module, dict(os.environ), arguments.get(name, ()), logs / f"{name}.log")
        for name, module in modules.items()
    }


@contextlib.asynccontextmanager
async def _redis(settings: Settings, directory: Path, clock: Clock) -> AsyncIterator[None]:
    if settings.redis.url.get_secret_value():
        yield
        return
    async with EmbeddedServer(directory / "redis", port=settings.redis.embedded_port, clock=clock):
        yield


async def _answers(gateway: Child, port: int, clock: Clock) -> None:
    """Return once the stand-in Gateway accepts connections."""
    give_up_at = clock.monotonic() + EMULATOR_TIMEOUT_S
    while clock.monotonic() < give_up_at and gateway.status is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            return
        await clock.sleep(_POLL_INTERVAL_S)
    raise DemoError(f"{gateway.name} does not answer on port {port}: {gateway.last_words()}")


def _tell_killed(names: list[str]) -> None:
    if names:
        say(f"did not end within {STOP_GRACE_S:g} s and were killed: {', '.join(names)}")


def _verdict(options: DemoOptions, observed: Observed, ending: Ending) -> int:
    """Tell what came of it; a demo without a duration has no aim to miss."""
    if ending.interrupted and options.duration_s is not None:
        return EXIT_TERMINATED
    result(as_json(observed.report()) if options.as_json else observed.summary())
    failure = ending.failure or ("" if options.duration_s is None else observed.missing())
    if failure:
        say(f"ibstream: {failure}")
    return EXIT_FAILURE if failure else 0
