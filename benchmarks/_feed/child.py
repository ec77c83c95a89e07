"""Processes that are measured: started, asked line by line, pinned to a core, their CPU time and memory read from outside."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ibstream.runtime.processes import end_with_parent

Figures = dict[str, Any]
Commands = dict[str, Callable[..., Awaitable[Figures]]]

READY_S = 60.0
"""A process that takes longer for an answer is given up."""
NEAR, FAR = 0, 1
"""The two cores: whoever is measured has the far one for itself, everything else shares the near one."""


def pin(pid: int, core: int) -> None:
    """Let a process, 0 for this one, with all its threads run on one core; on a machine that has one only, nothing changes."""
    if core < (os.cpu_count() or 1):
        for thread in Path(f"/proc/{pid or 'self'}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def cpu_s(pid: int) -> float:
    """CPU seconds that a process, all its threads together, has used so far; the kernel's clock of that process."""
    return time.clock_gettime((~pid << 3) | 2)


def rss_mb(pid: int) -> float:
    """Memory that a process has in use now, in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def unread_bytes(port: int) -> int:
    """What lies in the sockets of all connections to a port of 127.0.0.1, written and not read yet."""
    found = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if port in (int(local.partition(":")[2], 16), int(remote.partition(":")[2], 16)):
            found += sum(int(queue, 16) for queue in queues.split(":"))
    return found


class Asked:
    """A module of this benchmark as a process, which answers a line of JSON to every line it is sent."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self.pid = process.pid

    async def hear(self, within_s: float = READY_S) -> Figures:
        """The next answer."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        async with asyncio.timeout(within_s):
            while line := await self._process.stdout.readline():
                if line.startswith(b"{"):
                    heard: Figures = json.loads(line)
                    return heard
        raise SystemExit(f"{self._name} ended before its time")

    def tell(self, command: str, *arguments: object) -> None:
        """Send a command; its answer is to be heard."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.write((json.dumps([command, *arguments]) + "\n").encode())

    async def ask(self, command: str, *arguments: object, within_s: float = READY_S) -> Figures:
        """Send a command and wait for its answer."""
        self.tell(command, *arguments)
        return await self.hear(within_s)

    async def end(self) -> None:
        """Kill it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def start(module: str, *arguments: object, environment: dict[str, str]) -> Asked:
    """Start a module of this benchmark; what it says first is still to be heard."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"_feed.{module}",
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        preexec_fn=end_with_parent(),
    )
    return Asked(process, module)


async def answer_all(commands: Commands) -> None:
    """In such a process: do what each line says, and answer with what came of it."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *arguments = json.loads(line)
        say(await commands[name](*arguments))


def say(figures: Figures) -> None:
    """One line of JSON to whoever started this process."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
