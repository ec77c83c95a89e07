"""Child processes with names: started, watched, stopped together, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ibstream.runtime.processes import end_with_parent

LAST_LINES_KEPT = 40
LINE_BYTES_MAX = 64 * 1024
"""A longer line is passed on in pieces."""

KILL_WAIT_S = 2.0
"""How long the kernel may take to end a killed process."""

OnLine = Callable[[str, str], None]
"""Hears a child's name and each line that it writes."""


@dataclass(frozen=True)
class Program:
    """A Python module that is run as a process of its own."""

    name: str
    module: str
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    log: Path | None = None
    """Where its output goes; None: to `on_line`, line by line."""


@dataclass(eq=False)
class Child:
    """A running program."""

    program: Program
    process: asyncio.subprocess.Process
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES_KEPT))
    pump: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def status(self) -> int | None:
        """Its exit status, negative for the number of a signal; None while it runs."""
        return self.process.returncode

    async def wait(self) -> int:
        """Return its exit status once it has ended and all that it said has been heard."""
        status = await self.process.wait()
        if self.pump is not None:
            await asyncio.wait({self.pump}, timeout=KILL_WAIT_S)
        return status

    def last_words(self) -> str:
        """What it said about its end, as one line."""
        log = self.program.log
        text = log.read_text(encoding="utf-8", errors="replace")[-LINE_BYTES_MAX:] if log and log.is_file() else ""
        return last_words(text.splitlines() or self.lines)


class Processes:
    """The children of one command, each in a session of its own, so that Ctrl-C reaches the parent alone.

    As a context manager it leaves no process behind, whatever happens; if the parent is killed, the kernel ends them.
    """

    def __init__(self, on_line: OnLine | None = None) -> None:
        self._on_line = on_line
        self.children: list[Child] = []
        """Every child that was started and not yet forgotten, oldest first."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(grace_s=0)

    async def start(self, program: Program) -> Child:
        """Start a program and return at once; an ended child of that name is forgotten."""
        self.children = [child for child in self.children if child.name != program.name or child.status is None]
        with contextlib.ExitStack() as stack:
            output: Any = asyncio.subprocess.PIPE
            if program.log is not None:
                program.log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(program.log.open("ab"))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                program.module,
                *program.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(program.environment),
                start_new_session=True,
                preexec_fn=end_with_parent(),
            )
        child = Child(program, process)
        self.children.append(child)
        if process.stdout is not None:
            child.pump = asyncio.create_task(self._pump(child, process.stdout), name=f"output of {program.name}")
        return child

    async def stop(self, *, grace_s: float, last: Collection[str] = ()) -> list[str]:
        """SIGTERM to all at once, wait `grace_s`, SIGKILL to what is left; return the names of those that were killed.

        Those named in `last` are stopped in the same way when the others have ended.
        """
        first = [child for child in self.children if child.name not in last]
        killed = await self._stop(first, grace_s)
        return killed + await self._stop([child for child in self.children if child not in first], grace_s)

    async def _stop(self, children: list[Child], grace_s: float) -> list[str]:
        for child in _alive(children):
            child.process.terminate()
        try:
            await self._ended_within(grace_s, children)
        finally:
            killed = _alive(children)
            for child in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
        await self._ended_within(KILL_WAIT_S, children)
        return [child.name for child in killed]

    async def _ended_within(self, timeout_s: float, children: list[Child]) -> None:
        waits = {asyncio.ensure_future(child.wait()) for child in children}
        if waits:
            _, late = await asyncio.wait(waits, timeout=timeout_s)
            for wait in late:
                wait.cancel()

    async def _pump(self, child: Child, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(LINE_BYTES_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._hear(child, line)
        if rest:
            self._hear(child, rest)

    def _hear(self, child: Child, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        child.lines.append(text)
        if self._on_line is not None:
            self._on_line(child.name, text)


def _alive(children: Iterable[Child]) -> list[Child]:
    return [child for child in children if child.status is None]


def last_words(lines: Iterable[str]) -> str:
    """From the end of a log, why its process ended: the error of the last critical record, else what its last line says."""
    said = [line.strip() for line in lines if line.strip()]
    if not said:
        return "it said nothing"
    for line in reversed(said):
        record = _record(line)
        if record.get("level") == "critical" and record.get("error"):
            return " ".join(str(record["error"]).split())
    last = _record(said[-1])
    return " ".join(str(last[key]) for key in ("event", "reason", "error") if last.get(key)) or said[-1]


def _record(line: str) -> dict[str, Any]:
    """A line of a JSON log; empty for any other line."""
    with contextlib.suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict):
            return record
    return {}
