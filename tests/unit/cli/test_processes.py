"""Children are started, heard, stopped together and never left behind; real processes, because the rest would prove nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import eventually, run

from ibstream.cli.processes import LINE_BYTES_MAX, Processes, Program, last_words
from ibstream.cli.up import keep_running
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import ConfigurationError

WAITS = "import signal, sys\nprint('ready', flush=True)\nsignal.pause()\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS


class Stage:
    """Makes programs of source text, and keeps what children say."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.heard: list[tuple[str, str]] = []
        self.processes = Processes(lambda name, line: self.heard.append((name, line)))

    def program(self, name: str, source: str, *arguments: str, log: Path | None = None) -> Program:
        (self._directory / f"child_{name}.py").write_text(source)
        environment = {**os.environ, "PYTHONPATH": str(self._directory)}
        return Program(name, f"child_{name}", environment, arguments, log)

    async def hears(self, name: str, line: str) -> None:
        await eventually(lambda: (name, line) in self.heard, what=f"{name} saying {line}")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_child_writes_is_heard_line_by_line(stage: Stage) -> None:
    """Both outputs, in order, the last line without an end too, and a very long one without a bound on memory."""
    source = f"import sys\nprint('x' * {3 * LINE_BYTES_MAX}, flush=True)\nsys.stderr.write('one\\ntwo')\n"

    async def play() -> None:
        async with stage.processes:
            child = await stage.processes.start(stage.program("talker", source))
            assert await child.wait() == 0
            assert child.last_words() == "two"

    run(play())
    lines = [line for _, line in stage.heard]
    assert "".join(lines[:-2]) == "x" * (3 * LINE_BYTES_MAX)
    assert lines[-2:] == ["one", "two"]


def test_output_to_a_file_and_its_last_words(stage: Stage, tmp_path: Path) -> None:
    """With a log, everything goes there, and the reason of the end is found in it."""
    log = tmp_path / "logs" / "child.log"
    source = "print('hello', flush=True)\nraise SystemExit('the disk is full')\n"

    async def play() -> None:
        async with stage.processes:
            child = await stage.processes.start(stage.program("child", source, log=log))
            assert await child.wait() == 1
            assert child.last_words() == "the disk is full"

    run(play())
    assert log.read_text().splitlines() == ["hello", "the disk is full"]


def test_stop_ends_all_at_once_and_kills_the_stubborn(stage: Stage) -> None:
    """SIGTERM to all; who ignores it is killed after the grace and named; the others are not made to wait for it."""

    async def play() -> None:
        async with stage.processes as processes:
            for name, source in (("good", WAITS), ("bad", STUBBORN)):
                await processes.start(stage.program(name, source))
                await stage.hears(name, "ready")
            begun = SYSTEM_CLOCK.monotonic()
            assert await processes.stop(grace_s=0.5) == ["bad"]
            assert SYSTEM_CLOCK.monotonic() - begun < 3
            assert [child.status for child in processes.children] == [-signal.SIGTERM, -signal.SIGKILL]

    run(play())


def test_the_last_are_stopped_after_the_others(stage: Stage) -> None:
    """A child named last still works while the others end."""
    slow = (
        "import signal, time\n"
        "def end(*_):\n    time.sleep(0.3)\n    print('ended', flush=True)\n    raise SystemExit\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\nsignal.pause()\n"
    )

    async def play() -> None:
        async with stage.processes as processes:
            for name in ("base", "user"):
                await processes.start(stage.program(name, slow))
                await stage.hears(name, "ready")
            await processes.stop(grace_s=5, last=["base"])

    run(play())
    assert [name for name, line in stage.heard if line == "ended"] == ["user", "base"]


def test_leaving_the_context_leaves_no_process(stage: Stage) -> None:
    """Whatever goes wrong inside, the children are gone afterwards, those that ignore SIGTERM too."""
    pids: list[int] = []

    async def play() -> None:
        async with stage.processes as processes:
            pids.append((await processes.start(stage.program("bad", STUBBORN))).process.pid)
            await stage.hears("bad", "ready")
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        run(play())
    assert not is_alive(pids[0])


def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL gives the parent no chance to stop anything; the kernel ends the child."""
    (tmp_path / "waits.py").write_text(WAITS)
    parent = (
        "import asyncio, os\n"
        "from ibstream.cli.processes import Processes, Program\n"
        "async def main():\n"
        "    async with Processes(lambda name, line: print(line, flush=True)) as processes:\n"
        "        child = await processes.start(Program('child', 'waits', dict(os.environ)))\n"
        "        print(child.process.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry)])
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    run(eventually(lambda: not is_alive(child), what="the child's end"))


def test_a_program_that_dies_is_started_again(stage: Stage, tmp_path: Path) -> None:
    """It dies once and is started again after a second; with the stop the keeper returns and leaves it running for `stop`."""
    flag = tmp_path / "died"
    source = (
        "import pathlib, signal, sys\n"
        "flag = pathlib.Path(sys.argv[1])\n"
        "if not flag.exists():\n    flag.touch()\n    sys.exit(3)\n" + WAITS
    )

    async def play() -> None:
        stop = asyncio.Event()
        async with stage.processes as processes:
            program = stage.program("mortal", source, str(flag))
            keeper = asyncio.create_task(keep_running(processes, program, stop=stop, clock=SYSTEM_CLOCK))
            await stage.hears("mortal", "ready")
            stop.set()
            await keeper
            assert [child.status for child in processes.children] == [None]

    run(play())


def test_a_wrong_setting_is_not_tried_again(stage: Stage) -> None:
    """Exit status 78 ends the keeper with the child's own words."""
    source = "import sys\nsys.stderr.write('broker.ibkr.port: set it right\\n')\nsys.exit(78)\n"

    async def play() -> None:
        async with stage.processes as processes:
            program = stage.program("wrong", source)
            with pytest.raises(ConfigurationError, match=r"wrong: broker\.ibkr\.port: set it right"):
                await keep_running(processes, program, stop=asyncio.Event(), clock=SYSTEM_CLOCK)

    run(play())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "it said nothing"),
        (["", "Traceback (most recent call last):", "ModuleNotFoundError: No module named 'x'", ""],
         "ModuleNotFoundError: No module named 'x'"),
        (['{"level": "warning", "error": "old"}', '{"level": "info", "event": "service.stopped"}'], "service.stopped"),
        (['{"level": "critical", "event": "process.fatal", "error": "port\\n taken"}', '{"level": "info", "event": "b"}'],
         "port taken"),
    ],
)  # fmt: skip
def test_last_words_say_why(lines: list[str], words: str) -> None:
    """The critical record's error before anything else; old warnings never; always one line."""
    assert last_words(lines) == words
