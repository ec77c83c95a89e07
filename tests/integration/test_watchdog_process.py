"""The watchdog as a process of its own: how it starts, serves and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

from support import eventually, free_port, run
from watchdog_harness import Page, reasons

from ibstream_gateway_watchdog.server import listen


async def started(port: int, **settings: str) -> Process:
    """The watchdog as a process."""
    environment = {**os.environ, "SA_WATCHDOG__HTTP_PORT": str(port), **settings}
    command = [sys.executable, "-m", "ibstream_gateway_watchdog"]
    return await asyncio.create_subprocess_exec(*command, env=environment, stderr=PIPE)


async def ended(process: Process, *, within_s: float) -> tuple[int | None, str]:
    """Exit status and log."""
    async with asyncio.timeout(within_s):
        _, log = await process.communicate()
    return process.returncode, log.decode()


def test_the_process_without_redis_and_gateway(redis_url: str) -> None:
    """It serves HTTP all the same, says what is missing, and a SIGTERM ends it in good order."""
    del redis_url

    async def scenario() -> None:
        page = Page(free_port())
        gateway, redis = free_port(), free_port()
        process = await started(
            page.port, SA_REDIS__URL=f"redis://:secret@127.0.0.1:{redis}/0", SA_BROKER__IBKR__PORT=str(gateway)
        )
        try:

            async def first_picture() -> bool:
                try:
                    return (await page.get("/readyz"))[0] == 200
                except OSError:
                    return False

            await eventually(first_picture, what="the first picture")
            assert reasons(await page.health()) == {("bus", "unavailable"), ("gateway", "handshake_failed")}
            async with page.changes() as changes:
                await changes.recv()
                process.send_signal(signal.SIGTERM)
                async for _ in changes:
                    pass
            assert changes.close_code == 1001
            status, log = await ended(process, within_s=3)
            assert status == 0
            assert "secret" not in log
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    run(scenario())


def test_the_process_with_a_simulated_provider_looks_at_no_gateway(redis_url: str) -> None:
    """Nothing to probe: the Gateway is neither up nor down."""

    async def scenario() -> None:
        page = Page(free_port())
        process = await started(page.port, SA_REDIS__URL=redis_url, SA_BROKER__PROVIDER="simulated")
        try:

            async def absent() -> bool:
                try:
                    return ("broker", "absent") in reasons(await page.health())
                except OSError:
                    return False

            await eventually(absent, what="a picture of the empty bus")
            assert (await page.health())["gateway"]["up"] is None
        finally:
            process.send_signal(signal.SIGTERM)
            assert (await ended(process, within_s=3))[0] == 0

    run(scenario())


def test_a_taken_port_is_a_wrong_setting() -> None:
    """It ends at once with status 78 and names the setting to change."""

    async def scenario() -> None:
        with listen("127.0.0.1", 0) as taken:
            process = await started(taken.getsockname()[1])
            status, log = await ended(process, within_s=10)
        assert status == 78
        assert "SA_WATCHDOG__HTTP_PORT" in log

    run(scenario())
