"""Which Redis the tests use: `SA_TEST_REDIS_URL`, else a container, else the embedded server. Never a simulation."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support import eventually, free_port, run

from ibstream.bus import Bus, BusUnavailable
from ibstream.bus.embedded import EmbeddedServer
from ibstream.runtime.clock import SYSTEM_CLOCK

URL_VARIABLE = "SA_TEST_REDIS_URL"
IMAGE = "redis:7.2-alpine"
ENGINE_TIMEOUT_S = 2
"""A Docker engine that needs longer for a ping is none."""
PULL_TIMEOUT_S = 60
"""For the image, where the engine does not have it; and for the container to start."""


@dataclass(frozen=True)
class Choice:
    """The kind of server and why it was chosen."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.reason})"


@cache
def choose() -> Choice:
    """Decide once per run. Takes no longer than `ENGINE_TIMEOUT_S`, or `PULL_TIMEOUT_S` where an image must be had."""
    if os.environ.get(URL_VARIABLE):
        return Choice("external", f"{URL_VARIABLE} is set")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py leaves the socket of a failed ping open
        reason = _why_no_container()
        gc.collect()
    if reason:
        return Choice("embedded Valkey", reason)
    return Choice("container", f"{IMAGE} on the Docker engine that answers")


def _why_no_container() -> str:
    try:
        import docker

        with contextlib.closing(docker.from_env(timeout=ENGINE_TIMEOUT_S, version="1.41")) as engine:
            engine.ping()
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no usable engine
        return f"no Docker engine answers: {type(error).__name__}"
    try:
        with contextlib.closing(docker.from_env(timeout=PULL_TIMEOUT_S)) as engine:
            _ensure_image(engine)
    except Exception as error:  # noqa: BLE001 - as above
        return f"the Docker engine has no {IMAGE}: {type(error).__name__}"
    return ""


def _ensure_image(engine: Any) -> None:
    from docker.errors import ImageNotFound

    try:
        engine.images.get(IMAGE)
    except ImageNotFound:
        engine.images.pull(IMAGE)


@contextlib.contextmanager
def server_url() -> Iterator[str]:
    """The URL of the server chosen, for as long as the context lasts."""
    kind = choose().kind
    with contextlib.ExitStack() as stack:
        if kind == "external":
            yield os.environ[URL_VARIABLE]
        else:
            yield _started(kind, stack)


def _started(kind: str, stack: contextlib.ExitStack) -> str:
    if kind == "container":
        with contextlib.suppress(Exception):  # an engine that cannot run it after all
            return stack.enter_context(_container())
    return stack.enter_context(_embedded())


@contextlib.contextmanager
def _container() -> Iterator[str]:
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    testcontainers_config.ryuk_disabled = True  # it would be one more image to have; the context ends the container
    container = DockerContainer(IMAGE, docker_client_kw={"timeout": PULL_TIMEOUT_S}).with_exposed_ports(6379)
    with container:
        url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
        run(_answers(url))
        yield url


async def _answers(url: str) -> None:
    async def ping() -> bool:
        try:
            await bus.ping()
        except BusUnavailable:
            return False
        return True

    async with Bus(url, client_name="tests") as bus:
        await eventually(ping, within_s=PULL_TIMEOUT_S, what="an answer of the container")


@contextlib.contextmanager
def _embedded() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ibstream-tests-") as directory:
        server = KillableServer(Path(directory))
        run(server.start())
        try:
            yield server.url
        finally:
            run(server.stop())


class KillableServer(EmbeddedServer):
    """An embedded server on a free port that a test may kill, freeze, stop and start again on the same port and data."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, port=free_port(), clock=SYSTEM_CLOCK)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.pid is not None, "the server does not run"
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self.stop()

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """It takes connections and bytes, but answers nothing, until the context ends."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def destroy(self) -> None:
        """Whatever state a failed test left it in: gone."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
                os.kill(self.pid, signal.SIGKILL)
            run(self.stop())
