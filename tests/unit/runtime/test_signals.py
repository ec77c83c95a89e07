"""From a signal to an orderly end, and to an end in any case: real processes, real signals, real exit statuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import EXIT_CONFIGURATION, EXIT_SOFTWARE

GRACE_S = 0.5
START_TIMEOUT_S = 20.0

PRELUDE = f"""
import asyncio, sys
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import ConfigurationError, FatalError
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.signals import run_until_signalled

configure_logging("test", format="json")

def said(word):
    print(word, flush=True)

def end(main, grace_s={GRACE_S}):
    status = run_until_signalled(main, grace_s=grace_s)
    said("returned")
    sys.exit(status)

async def deaf(work):
    while True:
        try:
            await work
        except asyncio.CancelledError:
            said("swallowed")
            work = asyncio.sleep(3600)
"""


class Process:
    """A Python program that prints `ready` when it may be signalled."""

    def __init__(self, tmp_path: Path, program: str) -> None:
        file = tmp_path / "program.py"
        file.write_text(PRELUDE + textwrap.dedent(program), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.out = ""
        self.err = ""

    def ready(self) -> None:
        """Wait until it says so."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._process.communicate()[1]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def next_line(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ended(self, within_s: float = START_TIMEOUT_S) -> int:
        """Its exit status; fails when it is still there after `within_s`."""
        try:
            self.out, self.err = self._process.communicate(timeout=within_s)
        finally:
            self._process.kill()
            self._process.communicate()
        return self._process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Start a program."""
    return lambda program: Process(tmp_path, program)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(start: Any, number: signal.Signals) -> None:
    """`stop` is set, main finishes what it has in hand, and the exit status is 0."""
    process = start("""
        async def main(stop):
            said("ready")
            await stop.wait()
            await SYSTEM_CLOCK.sleep(0.1)
            said("finished")
        end(main)
    """)
    process.ready()
    process.signal(number)
    assert process.ended() == 0
    assert process.out.split() == ["finished", "returned"]
    assert f'"signal": "{number.name}"' in process.err


def test_a_main_that_ends_by_itself(start: Any) -> None:
    """Status 0, without waiting for a signal or a grace."""
    process = start("""
        async def main(stop):
            said("ready")
        end(main, grace_s=3600)
    """)
    assert process.ended() == 0


def test_the_second_signal_cancels_at_once(start: Any) -> None:
    """Whoever is in a hurry does not wait for the grace; the status says that it was no clean end."""
    process = start("""
        async def main(stop):
            said("ready")
            await stop.wait()
            said("stopping")
            try:
                await SYSTEM_CLOCK.sleep(3600)
            finally:
                said("cancelled")
        end(main, grace_s=3600)
    """)
    process.ready()
    process.signal(signal.SIGTERM)
    assert process.next_line() == "stopping"
    process.signal(signal.SIGTERM)
    assert process.ended() == EXIT_SOFTWARE
    assert process.out.split() == ["cancelled", "returned"]


def test_a_signal_after_main_stopped_itself_is_the_first_one(start: Any) -> None:
    """A main that set `stop` by itself, because its time is over, keeps its grace when a signal comes on top."""
    process = start("""
        async def main(stop):
            stop.set()
            said("ready")
            await SYSTEM_CLOCK.sleep(0.3)
            said("finished")
        end(main, grace_s=10)
    """)
    process.ready()
    process.signal(signal.SIGTERM)
    assert process.ended() == 0
    assert process.out.split() == ["finished", "returned"]


def test_after_the_grace_it_is_cancelled(start: Any) -> None:
    """A main that does not end by itself is cancelled and may still clean up."""
    process = start("""
        async def main(stop):
            said("ready")
            try:
                await SYSTEM_CLOCK.sleep(3600)
            finally:
                said("cleaned")
        end(main)
    """)
    process.ready()
    started = SYSTEM_CLOCK.monotonic()
    process.signal(signal.SIGTERM)
    assert process.ended() == EXIT_SOFTWARE
    assert SYSTEM_CLOCK.monotonic() - started > GRACE_S - 0.1
    assert process.out.split() == ["cleaned", "returned"]


STUCK = {
    "main swallows its cancellation": """
        async def main(stop):
            said("ready")
            await deaf(SYSTEM_CLOCK.sleep(3600))
        end(main)
    """,
    "the loop itself hangs": """
        import time
        async def main(stop):
            said("ready")
            await stop.wait()
            time.sleep(3600)
        end(main)
    """,
    "a task left behind swallows its cancellation": """
        async def main(stop):
            global task
            task = asyncio.create_task(deaf(SYSTEM_CLOCK.sleep(3600)))
            said("ready")
            await stop.wait()
        end(main)
    """,
}


@pytest.mark.parametrize("program", STUCK.values(), ids=STUCK)
def test_what_is_stuck_leaves_hard_with_its_stacks(start: Any, program: str) -> None:
    """Within the grace and two seconds more, status 70, and the log shows where it was stuck."""
    process = start(program)
    process.ready()
    started = SYSTEM_CLOCK.monotonic()
    process.signal(signal.SIGTERM)
    assert process.ended() == EXIT_SOFTWARE
    assert GRACE_S < SYSTEM_CLOCK.monotonic() - started < GRACE_S + 2 + 1.5
    assert "returned" not in process.out
    assert '"event": "process.stuck"' in process.err
    assert "program.py" in process.err


def test_a_fatal_error_does_not_hang_on_what_it_left_behind(start: Any) -> None:
    """No signal came, and still a task that swallows its cancellation cannot keep the process."""
    process = start("""
        async def main(stop):
            global task
            task = asyncio.create_task(deaf(SYSTEM_CLOCK.sleep(3600)))
            await asyncio.sleep(0)
            raise FatalError("no way")
        end(main)
    """)
    assert process.ended() == EXIT_SOFTWARE
    assert '"event": "process.stuck"' in process.err


def test_the_process_may_live_on_after_it_returned(start: Any) -> None:
    """What leaves hard is called off once the loop has ended: the caller may take its time to print a report."""
    process = start("""
        import time
        from ibstream.runtime import signals
        signals._HARD_EXIT_MARGIN_S = 0.1
        async def main(stop):
            said("ready")
            await stop.wait()
        status = run_until_signalled(main, grace_s=0.3)
        time.sleep(1.0)
        said("report")
        sys.exit(status)
    """)
    process.ready()
    process.signal(signal.SIGTERM)
    assert process.ended() == 0
    assert process.out.split() == ["report"]


ENDS = {
    "ConfigurationError('set SA_X')": (EXIT_CONFIGURATION, "process.fatal", "set SA_X"),
    "FatalError('no way')": (EXIT_SOFTWARE, "process.fatal", "no way"),
    "ValueError('a bug')": (EXIT_SOFTWARE, "process.failed", "Traceback"),
    "ExceptionGroup('g', [ConfigurationError('set SA_X')])": (EXIT_CONFIGURATION, "process.fatal", "set SA_X"),
    "ExceptionGroup('g', [OSError('cut'), ConfigurationError('set SA_X')])": (
        EXIT_CONFIGURATION,
        "process.fatal",
        "set SA_X",
    ),
    "ExceptionGroup('g', [OSError('cut'), ValueError('a bug')])": (EXIT_SOFTWARE, "process.failed", "cut"),
}


@pytest.mark.parametrize(("error", "expected"), ENDS.items(), ids=ENDS)
def test_the_exit_status_tells_the_truth(start: Any, error: str, expected: tuple[int, str, str]) -> None:
    """78 for a setting that must be changed, 70 for anything else; the reason stands in the log."""
    status, event, reason = expected
    process = start(f"""
        async def main(stop):
            raise {error}
        end(main)
    """)
    assert process.ended() == status
    assert f'"event": "{event}"' in process.err
    assert reason in process.err
