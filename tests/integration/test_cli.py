"""The `ibstream` command as people run it: real processes, real Redis, the stand-in Gateway over TCP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis_for_tests import KillableServer
from support import eventually, free_port, run

from ibstream.bus import Bus, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import Message
from ibstream.contracts.orders import (
    Algo,
    AlgoName,
    ModifyOrder,
    OrderType,
    Side,
    SubmitGroup,
    SubmitOrder,
    TimeInForce,
)
from ibstream.contracts.registry import ORDER_REQUESTS, heartbeat_key

START_TIMEOUT_S = 90
"""Six Python processes start at once; a loaded machine takes its time."""

STOP_TIMEOUT_S = 10


class Terminal:
    """Runs the command with ports and data of its own, and knows what it left behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.gateway_port, self.http_port, self.redis_port = free_port(), free_port(), free_port()
        self.environment = {
            **os.environ,
            "SA_REDIS__DATA_DIR": str(directory),
            "SA_REDIS__EMBEDDED_PORT": str(self.redis_port),
            "SA_WATCHDOG__HTTP_PORT": str(self.http_port),
            "SA_METRICS__PORT_BROKER": "0",
            "SA_METRICS__PORT_DATA": "0",
            "SA_METRICS__PORT_FEED": "0",
        }

    @property
    def demo(self) -> list[str]:
        ports = {"--gateway-port": self.gateway_port, "--http-port": self.http_port, "--redis-port": self.redis_port}
        return ["demo", *(str(word) for option in ports.items() for word in option)]

    def ask(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "ibstream.cli", *words],
            env={**self.environment, **environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
        )

    @contextmanager
    def running(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command; its outputs go to files `out` and `err`. It is killed in the end if it still runs."""
        with (self.directory / "out").open("w") as out, (self.directory / "err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "ibstream.cli", *words],
                env={**self.environment, **environment},
                cwd=self.directory,
                stdout=out,
                stderr=err,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def out(self) -> str:
        return (self.directory / "out").read_text()

    @property
    def err(self) -> str:
        return (self.directory / "err").read_text()

    def says(self, text: str) -> None:
        """Wait until the running command has said `text` on standard error."""
        run(
            eventually(lambda: text in self.err, within_s=START_TIMEOUT_S, what=f"{text!r} on standard error"),
            timeout_s=START_TIMEOUT_S + 5,
        )

    def is_normal(self) -> None:
        """Wait until `ibstream status` is content."""
        run(
            eventually(lambda: self.ask("status").returncode == 0, within_s=START_TIMEOUT_S, what="a normal mode"),
            timeout_s=2 * START_TIMEOUT_S,
        )

    def processes(self) -> list[str]:
        """Command lines of all processes that belong to this terminal, whoever their parent is by now."""
        mark = str(self.directory).encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue  # ended meanwhile, or another user's
            if command and mark in command + environ:
                found.append(command.replace(b"\0", b" ").decode())
        return found

    def left_behind(self) -> list[str]:
        """Processes and ports that are still there."""
        ports = (self.gateway_port, self.http_port, self.redis_port)
        return self.processes() + [f"port {port}" for port in ports if answers(port)]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_demo_shows_that_everything_works(terminal: Terminal) -> None:
    """Quotes of 100 symbols and more without a gap, a filled order, bars, a normal mode, a healthy page; one JSON line.

    Live settings in the environment change nothing, and when it has ended nothing is left.
    """
    done = terminal.ask(
        *terminal.demo,
        "--duration",
        "3",
        "--json",
        SA_BROKER__IBKR__PORT="4001",
        SA_BROKER__PAPER_TRADING="false",
        SA_BROKER__CONFIRM_LIVE="U1234567",
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert set(report) == {"quotes", "symbols", "gaps", "order", "bars", "mode", "http_health"}
    assert report["symbols"] >= 100
    assert report["quotes"] > report["symbols"]
    assert report["order"] == {"outcome": "filled", "filled": 10}
    assert report["bars"] > 10
    assert (report["gaps"], report["mode"], report["http_health"]) == (0, "normal", 200)
    assert terminal.left_behind() == []
    logs = {path.name: path.read_text() for path in (terminal.directory / "demo" / "logs").iterdir()}
    assert set(logs) == {f"{name}.log" for name in ("broker", "data", "feed", "gateway-watchdog", "gateway-emulator")}
    assert "127.0.0.1:" + str(terminal.gateway_port) in logs["broker.log"]
    assert "Traceback" not in "".join(logs.values())


def test_demo_stopped_half_way_leaves_nothing(terminal: Terminal, private_server: Callable[[], KillableServer]) -> None:
    """SIGTERM while it runs, on a Redis of the user's: gone within 10 s with a status that says so, no output, and the
    user's Redis still there."""
    server = private_server()
    run(server.start())
    with terminal.running(*terminal.demo, "--duration", "60", "--json", SA_REDIS__URL=server.url) as process:
        terminal.says("all is up")
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_TIMEOUT_S) == 128 + signal.SIGTERM
    assert terminal.out == ""
    left = [name for name in terminal.left_behind() if "valkey" not in name]
    assert left == []
    assert not (terminal.directory / "demo" / "redis").exists()
    run(ping(server.url))
    run(server.stop())


def test_demo_killed_takes_its_children_along(terminal: Terminal) -> None:
    """SIGKILL gives it no chance to stop anything; the services and the server end all the same."""
    with terminal.running(*terminal.demo, "--duration", "60", "--json") as process:
        terminal.says("first quote")
        process.kill()
    run(eventually(lambda: terminal.left_behind() == [], within_s=STOP_TIMEOUT_S, what="an empty machine"))


def test_demo_refuses_a_bus_that_another_ibstream_serves(
    terminal: Terminal, private_server: Callable[[], KillableServer]
) -> None:
    """A broker is alive on the bus: the demo's order could reach its account, so the demo starts nothing."""

    async def play() -> subprocess.CompletedProcess[str]:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.put(heartbeat_key("broker", "0"), b"{}", ttl_s=60)
            return terminal.ask(*terminal.demo, "--duration", "1", "--json", SA_REDIS__URL=server.url)

    done = run(play())
    assert (done.returncode, done.stdout) == (1, "")
    assert "another ibstream serves the bus" in only_line(done.stderr)
    assert not (terminal.directory / "demo").exists()


def test_demo_names_the_port_that_is_taken(terminal: Terminal) -> None:
    """One line with the port and its option, before anything is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", terminal.http_port))
        other.listen()
        done = terminal.ask(*terminal.demo)
    assert done.returncode == 1
    assert f"port {terminal.http_port} (--http-port)" in only_line(done.stderr)


@pytest.mark.parametrize("port", [4001, 4002, 4003, 4004, 7496, 7497])
def test_demo_never_uses_the_port_of_a_real_gateway(terminal: Terminal, port: int) -> None:
    """Not even where it is asked to."""
    done = terminal.ask("demo", "--gateway-port", str(port))
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert not answers(port)


def test_up_with_simulated_provider_and_every_command(terminal: Terminal) -> None:
    """Without ib_async: quotes, an order, bars, the mode; a service that is killed comes back; SIGTERM ends all of it."""
    blocked = terminal.directory / "blocked"
    blocked.mkdir()
    (blocked / "ib_async.py").write_text("raise ImportError('ib_async is not installed here')\n")
    path = os.pathsep.join([str(blocked), *(entry for entry in sys.path if entry)])
    terminal.environment |= {"SA_BROKER__PROVIDER": "simulated", "PYTHONPATH": path}
    with terminal.running("up") as process:
        terminal.is_normal()
        every_command(terminal)
        feed = next(beat for beat in heartbeats(terminal) if beat["service"] == "feed")
        os.kill(feed["pid"], signal.SIGKILL)
        run(
            eventually(
                lambda: {beat["pid"] for beat in heartbeats(terminal) if beat["service"] == "feed"} - {feed["pid"]},
                within_s=30,
                what="another feed",
            )
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_TIMEOUT_S) == 0
    assert terminal.out == ""
    assert "Traceback" not in terminal.err
    assert terminal.left_behind() == []


def every_command(terminal: Terminal) -> None:
    quotes = terminal.ask("quotes", "AAPL", "brk.b", "--json", "--count", "5")
    rows = [json.loads(line) for line in quotes.stdout.splitlines()]
    assert {row["symbol"] for row in rows} == {"AAPL", "BRK.B"}
    assert len(rows) == 5
    order = terminal.ask("order", "buy", "3", "AAPL", "--json")
    report = json.loads(order.stdout)
    assert (report["status"], report["filled"], order.returncode) == ("filled", "3", 0)
    resting = terminal.ask("order", "SELL", "1", "AAPL", "--limit", "99999", "--tif", "gtc", "--wait", "1")
    assert resting.stdout.splitlines()[-1] == "submitted"
    assert (resting.returncode, "still being worked" in resting.stderr) == (0, True)
    rejected = terminal.ask("order", "BUY", "0", "AAPL")
    assert (rejected.returncode, "invalid_quantity" in rejected.stdout) == (1, True)
    bars = terminal.ask("bars", "AAPL", "--size", "1 hour", "--duration", "5 D", "--json")
    assert bars.returncode == 0
    starts = [json.loads(line)["start"] for line in bars.stdout.splitlines()]
    assert starts
    assert starts == sorted(starts)
    asked = terminal.ask("order", "BUY", "10", "AAPL", "--what-if", "--json")
    assert (asked.returncode, "initial_margin_change" in json.loads(asked.stdout)) == (0, True)
    gone = terminal.ask("cancel", "nobody-1")
    assert (gone.returncode, "unknown_order" in only_line(gone.stderr)) == (1, True)
    assert terminal.ask("halt", "drill", "--who", "test").returncode == 0
    halted = terminal.ask("order", "BUY", "1", "AAPL")
    assert (halted.returncode, "halted" in halted.stdout) == (1, True)
    assert terminal.ask("resume").returncode == 0
    unknown = terminal.ask("bars", "QQQQQ")
    assert unknown.returncode == 1
    assert "unknown_instrument" in only_line(unknown.stderr)


def heartbeats(terminal: Terminal) -> list[dict[str, Any]]:
    beats: list[dict[str, Any]] = json.loads(terminal.ask("status", "--json").stdout)["heartbeats"]
    return beats


def test_up_stops_with_the_words_of_a_service_that_is_set_up_wrong(terminal: Terminal) -> None:
    """The broker's metrics port is taken: starting again would not help, so the command ends with 78 and says why."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = terminal.ask("up", SA_BROKER__PROVIDER="simulated", SA_METRICS__PORT_BROKER=port)
    assert done.returncode == 78
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ibstream: broker: ")
    assert "SA_METRICS__PORT_" in last
    assert terminal.left_behind() == []


@pytest.mark.parametrize(
    ("words", "environment", "status", "told"),
    [
        (["status"], {}, 1, "start it with `ibstream up`"),
        (["quotes"], {"SA_REDIS__URL": "redis://:hunter2@127.0.0.1:1/0"}, 1, "Redis at 127.0.0.1:1"),
        (["order", "BUY", "1", "AAPL"], {}, 1, "start it with `ibstream up`"),
        (["bars", "AAPL"], {}, 1, "start it with `ibstream up`"),
        (["bars", "AAPL", "--size", "7 hours"], {}, 1, "8 hours"),
        (["order", "BUY", "ten", "AAPL"], {}, 1, "no decimal number"),
        (["order", "BUY", "1", "AAPL", "250", "C"], {}, 1, "AAPL 20261218 250 C"),
        (["order", "BUY", "1", "ES", "202612"], {}, 1, "ES 202612 @CME"),
        (["order", "BUY", "1", "AAPL", "--stop", "250"], {}, 1, "order_type must be said"),
        (["order", "BUY", "1", "AAPL", "--algo", "Dark"], {}, 1, "Adaptive, Twap, Vwap"),
        (["order", "BUY", "1", "AAPL", "--leg", "BUY"], {}, 1, "SELL AAPL 20261218 250 C"),
        (["order", "BUY", "1", "AAPL", "--what-if"], {}, 1, "start it with `ibstream up`"),
        (["bracket", "BUY", "1", "AAPL"], {}, 1, "take_profit"),
        (["bracket", "BUY", "1", "AAPL", "--take-profit", "1", "--stop-loss", "2"], {}, 1, "stop_loss below"),
        (["modify", "mine"], {}, 1, "start it with `ibstream up`"),
        (["cancel", "no id"], {}, 1, "client_order_id"),
        (["halt", "news"], {}, 1, "start it with `ibstream up`"),
        (["order", "BUY", "1", "AAPL", "--type", "STOP"], {}, 2, "STOP"),
        (["order", "BUY", "1", "AAPL", "--good-till", "2026-12-18T21:00:00"], {}, 2, "2026-12-18T21:00:00Z"),
        (["order", "BUY", "1", "AAPL", "--good-till", "Friday"], {}, 2, "Friday is no time"),
        (["halt"], {}, 2, "WHY"),
        (["up"], {"SA_BROKER__IBKR__PORT": "4001"}, 78, "SA_BROKER__IBKR__PORT"),
        (["status"], {"SA_BROKER__IBKR__PORT": "many"}, 78, "broker.ibkr.port"),
        (["status"], {"SA_TYPO": "1"}, 78, "SA_TYPO"),
        (["order", "HOLD", "1", "AAPL"], {}, 2, "HOLD"),
        (["demo", "--json"], {}, 2, "--duration"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    terminal: Terminal, words: list[str], environment: dict[str, str], status: int, told: str
) -> None:
    """The status fits the kind, the line says what to do, no traceback, no password, nothing on standard output."""
    done = terminal.ask(*words, **environment)
    assert (done.returncode, done.stdout) == (status, "")
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("order ")]
    assert told in lines[-1]
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    if status != 2:
        assert len(lines) == 1


def test_a_silent_watchdog_is_said(terminal: Terminal, private_server: Callable[[], KillableServer]) -> None:
    """Redis answers and nobody else: the status is a failure in words, and in JSON."""

    async def play() -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
        async with private_server() as server:
            words = terminal.ask("status", SA_REDIS__URL=server.url)
            return words, terminal.ask("status", "--json", SA_REDIS__URL=server.url)

    words, as_json = run(play())
    assert (words.returncode, words.stdout) == (1, "watchdog silent\n")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout) == {"mode": None, "status": None, "heartbeats": []}


def test_what_is_said_is_what_is_asked_for(terminal: Terminal, private_server: Callable[[], KillableServer]) -> None:
    """Words, options and legs arrive as the contract's fields: instruments of each kind, prices exact, negative ones too."""

    async def play() -> list[Message]:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            for words in SAID:
                done = terminal.ask(*words, "--wait", "0", SA_REDIS__URL=server.url)
                assert (done.returncode, done.stdout) == (0, ""), done.stderr
            async with StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
                return [entry.message for entry in await reader.read()]

    stop, future, spread, bracket, modify = run(play(), timeout_s=120)
    assert isinstance(stop, SubmitOrder)
    assert (stop.client_order_id, stop.instrument.symbol, stop.account) == ("mine", "BRK.B", "DU1")
    assert (stop.order_type, stop.stop_price, stop.limit_price) == (
        OrderType.STOP_LIMIT,
        Decimal("480.5"),
        Decimal(480),
    )
    assert (stop.time_in_force, stop.good_till) == (TimeInForce.GTD, datetime(2026, 12, 18, 21, tzinfo=UTC))
    assert isinstance(future, SubmitOrder)
    assert (future.instrument.exchange, future.instrument.expiry, future.outside_regular_hours) == (
        "CME",
        "202612",
        True,
    )
    assert future.algo == Algo(name=AlgoName.ADAPTIVE, parameters={"adaptivePriority": "Urgent"})
    assert isinstance(spread, SubmitOrder)
    assert spread.limit_price == Decimal("-4.00")
    assert [(one.side, one.instrument.strike) for one in spread.instrument.legs] == [
        (Side.SELL, Decimal(270)),
        (Side.BUY, Decimal(280)),
    ]
    assert isinstance(bracket, SubmitGroup)
    assert [one.order_type for one in bracket.orders] == [OrderType.LIMIT, OrderType.LIMIT, OrderType.STOP]
    assert [one.client_order_id for one in bracket.orders] == ["g:entry", "g:profit", "g:stop"]
    assert isinstance(modify, ModifyOrder)
    assert (modify.client_order_id, modify.stop_price, modify.quantity) == ("mine", Decimal("479.5"), None)


SAID_IN_LINES = [
    "order buy 3 brk.b --type stp-lmt --stop 480.5 --limit 480 --good-till 2026-12-18T21:00:00Z --account DU1 --id mine",
    "order BUY 2 ES 202612 @CME --limit 6901.25 --outside-hours --algo Adaptive:adaptivePriority=Urgent",
    "order BUY 1 AAPL --limit -4.00 --leg SELL_AAPL_20261218_270_C --leg BUY_AAPL_20261218_280_C",
    "bracket BUY 1 AAPL --limit 270 --take-profit 280 --stop-loss 260 --id g",
    "modify mine --stop 479.5",
]
SAID = [[word.replace("_", " ") for word in line.split()] for line in SAID_IN_LINES]


def test_the_command_starts_fast() -> None:
    """Help needs neither Redis nor the settings, so they are not loaded for it."""
    script = (
        "import sys; from ibstream.cli.commands import app\n"
        "heavy = {'redis', 'pydantic', 'structlog', 'msgspec', 'prometheus_client'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


async def ping(url: str) -> None:
    async with Bus(url, client_name="test") as bus:
        await bus.ping()
