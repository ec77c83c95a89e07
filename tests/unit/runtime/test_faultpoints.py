"""Fault points: where a process dies or stands still when told to, how often it passes before, and what is refused."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.faultpoints import POINTS, VARIABLE, arm

REPOSITORY = Path(__file__).resolve().parents[3]
DEADLINE_S = 30
CALL = re.compile(r"fault_point\(\s*\"([a-z._]+)\"\s*\)")

PASSES = """
import sys
from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.faultpoints import arm, fault_point
try:
    arm()
except ConfigurationError as error:
    sys.exit(str(error))
for number in range(1, 6):
    fault_point(sys.argv[1])
    print(number, flush=True)
"""
"""Comes by a point five times, and counts aloud."""


def process(point: str, wanted: str) -> subprocess.Popen[str]:
    """A process that comes by `point`, told `wanted`."""
    return subprocess.Popen(
        [sys.executable, "-c", PASSES, point],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: wanted},
    )


def passed(point: str, wanted: str) -> tuple[int, list[str], str]:
    """Its exit status, how far it came, and what it complained of."""
    with process(point, wanted) as running:
        said, complaint = running.communicate(timeout=DEADLINE_S)
    return running.returncode, said.split(), complaint


@pytest.mark.parametrize("point", POINTS)
def test_a_process_dies_at_the_point_it_was_told_and_there_alone(point: str) -> None:
    """By SIGKILL, the first time; every other point is passed."""
    assert passed(point, point)[:2] == (-signal.SIGKILL, [])
    other = POINTS[POINTS.index(point) - 1]
    assert passed(other, point)[:2] == (0, ["1", "2", "3", "4", "5"])


def test_without_the_variable_every_point_is_passed() -> None:
    """As in production."""
    assert passed(POINTS[0], "")[:2] == (0, ["1", "2", "3", "4", "5"])


@pytest.mark.parametrize("times", [1, 2, 5])
def test_it_dies_the_time_it_was_told(times: int) -> None:
    """The times before are passed."""
    status, counted, _ = passed("order.sent", f"order.sent:{times}")
    assert (status, len(counted)) == (-signal.SIGKILL, times - 1)


def test_it_lives_where_it_does_not_come_by_so_often() -> None:
    """The count is of one process: the next one begins anew."""
    assert passed("order.sent", "order.sent:6")[0] == 0


def test_it_stands_still_once_where_it_is_told_to_stop() -> None:
    """SIGSTOP instead of SIGKILL; woken, it goes on from there to its end."""
    with process("intent.journalled", "intent.journalled:3:stop") as running:
        pid, status = os.waitpid(running.pid, os.WUNTRACED)
        assert (pid, os.WIFSTOPPED(status), os.WSTOPSIG(status)) == (running.pid, True, signal.SIGSTOP)
        running.send_signal(signal.SIGCONT)
        said, _ = running.communicate(timeout=DEADLINE_S)
    assert (running.returncode, said.split()) == (0, ["1", "2", "3", "4", "5"])


@pytest.mark.parametrize(
    "wanted",
    [
        "order.lost",
        "order",
        "order.sent:",
        "order.sent:0",
        "order.sent:-1",
        "order.sent:x",
        "order.sent:2:halt",
        ":2",
        "a b",
    ],
)
def test_what_is_no_fault_point_is_refused(wanted: str) -> None:
    """With what was wanted, and all that there is; a process that trusted in a point that is none would prove nothing."""
    status, counted, complaint = passed("order.sent", wanted)
    assert (status, counted) == (1, [])
    assert f"{VARIABLE}={wanted} is no fault point" in complaint
    assert all(point in complaint for point in POINTS)


def test_every_point_is_passed_in_the_code() -> None:
    """Each is named where a process comes by it, and every name there is a point: a typing error would never fire."""
    named: Counter[str] = Counter()
    for file in (REPOSITORY / "services").rglob("*.py"):
        named.update(CALL.findall(file.read_text(encoding="utf-8")))
    assert set(named) == set(POINTS)


def test_a_process_that_trades_real_money_has_no_fault_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses to start rather than die as told; without the variable it starts."""
    monkeypatch.setenv(VARIABLE, "order.sent")
    with pytest.raises(ConfigurationError, match="real money"):
        arm(live=True)
    monkeypatch.delenv(VARIABLE)
    arm(live=True)
