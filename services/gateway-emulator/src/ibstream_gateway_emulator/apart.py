"""Work for one client that takes too long for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ibstream_gateway_emulator.protocol.messages import Message


class Apart:
    """Runs work in threads. `send` is given what it returns, `failed` is called within the handling of what it raises."""

    def __init__(self, send: Callable[[list[Message]], None], failed: Callable[[], None]) -> None:
        self._send, self._failed = send, failed
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        """Run `work` and send what it returns, if it is still `wanted` then."""
        task = asyncio.get_running_loop().create_task(self._run(work, wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        try:
            message = await asyncio.to_thread(work)
            if wanted():
                self._send([message])
        except Exception:  # noqa: BLE001 - the supervisor of one client
            self._failed()
