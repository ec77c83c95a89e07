"""What tests of every room share: running coroutines, waiting for a state, free ports."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable, Coroutine, MutableMapping
from types import ModuleType
from typing import Any, TypeVar

import pytest
import structlog

from ibstream.runtime.clock import SYSTEM_CLOCK

T = TypeVar("T")

POLL_INTERVAL_S = 0.02
PORTS = range(20_000, 32_000)
"""Below those that Linux takes for outgoing connections (32768 and up), which can take a free port before its server does."""


def run(coroutine: Coroutine[Any, Any, T], *, timeout_s: float = 60.0) -> T:
    """Run a coroutine on a loop of its own, and fail rather than hang."""

    async def bounded() -> T:
        async with asyncio.timeout(timeout_s):
            return await coroutine

    return asyncio.run(bounded())


async def eventually(state: Callable[[], Any], *, within_s: float = 10.0, what: str = "the state") -> Any:
    """Poll until `state()`, which may be a coroutine function, is truthy and return it; fail after `within_s` s."""
    deadline = SYSTEM_CLOCK.monotonic() + within_s
    while True:
        value = state()
        if asyncio.iscoroutine(value) or isinstance(value, asyncio.Future):
            value = await value
        if value:
            return value
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise AssertionError(f"waited {within_s} s in vain for {what}; last seen: {value!r}")
        await SYSTEM_CLOCK.sleep(POLL_INTERVAL_S)


def log_of(module: ModuleType, patch: pytest.MonkeyPatch) -> list[MutableMapping[str, Any]]:
    """What a module logs from now on, whatever the level and the outlet that tests before this one have left behind."""
    capture = structlog.testing.LogCapture()
    everything = structlog.make_filtering_bound_logger(0)
    patch.setattr(module, "_log", structlog.wrap_logger(None, processors=[capture], wrapper_class=everything))
    return capture.entries


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, and none that the system gives to outgoing connections."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
