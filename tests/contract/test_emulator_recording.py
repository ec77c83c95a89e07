"""Record and replay: what an unmodified ib_async heard through the recorder it hears again from the file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from contract.ib_async_terminal import AAPL, SETTINGS, Terminal, market, status, statuses
from ib_async import IB, Contract
from support import eventually, free_port, run
from typer.testing import CliRunner

from ibstream.runtime.errors import EXIT_CONFIGURATION, ConfigurationError
from ibstream_gateway_emulator.listener import CannotListenError
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.recording import commands, file_writer, proxy
from ibstream_gateway_emulator.recording.commands import split_address, version_limit
from ibstream_gateway_emulator.recording.format import Event, RecordingError, load
from ibstream_gateway_emulator.recording.proxy import (
    Recorder,
    RecorderSettings,
    UpstreamError,
    record,
    running_recorder,
)
from ibstream_gateway_emulator.recording.stage import StageSettings, replay, running_stage
from ibstream_gateway_emulator.server import GatewayServer, running_gateway

MSFT = Contract(secType="STK", symbol="MSFT", exchange="SMART", currency="USD")
HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..178"
START = frame(("71", "2", "1", ""))
DEADLINE_S = 5


@contextlib.asynccontextmanager
async def recorder(path: Path, upstream: int, **options: Any) -> AsyncIterator[Recorder]:
    settings = RecorderSettings(upstream_host="127.0.0.1", upstream_port=upstream, path=path, **options)
    async with running_recorder(settings) as running:
        yield running


@contextlib.asynccontextmanager
async def recorded_gateway(path: Path) -> AsyncIterator[tuple[GatewayServer, Recorder]]:
    async with running_gateway(SETTINGS) as gateway, recorder(path, gateway.port) as running:
        yield gateway, running


@contextlib.asynccontextmanager
async def terminal(port: int, client_id: int = 1, *, first_id: int | None = None) -> AsyncIterator[Terminal]:
    """An ib_async on a port; its own ids begin at `first_id`."""
    client = Terminal()
    if first_id is not None:
        client.ib.client.updateReqId(first_id)
    await client.ib.connectAsync("127.0.0.1", port, clientId=client_id, timeout=DEADLINE_S, raiseSyncErrors=True)
    try:
        yield client
    finally:
        client.ib.disconnect()


async def session(client: Terminal) -> dict[str, Any]:
    """One of everything: a contract, a quote, bars, an order until it has filled and its commission is known."""
    ib: IB = client.ib
    details = await ib.reqContractDetailsAsync(MSFT)
    (quote,) = await ib.reqTickersAsync(AAPL)
    bars = await ib.reqHistoricalDataAsync(AAPL, "20261120 16:00:00 US/Eastern", "1 D", "1 hour", "TRADES", useRTH=True)
    trade = client.place(market("BUY", 10, orderRef="a ref"))
    await status(trade, "Filled")
    await eventually(lambda: trade.fills and trade.fills[0].commissionReport.execId, what="the commission")
    return {
        "account": ib.managedAccounts(),
        "name": details[0].longName,
        "quote": (quote.bid, quote.ask, quote.last, quote.volume),
        "bars": [(bar.date, bar.close, bar.volume) for bar in bars],
        "order": (statuses(trade), trade.orderStatus.permId, trade.orderStatus.avgFillPrice),
        "fill": [
            (fill.execution.execId, fill.execution.price, fill.commissionReport.commission) for fill in trade.fills
        ],
        "positions": [(one.contract.symbol, one.position, one.avgCost) for one in ib.positions()],
        "values": len(ib.accountValues()),
    }


async def symbol_of(client: Terminal, contract: Contract) -> str:
    """What the Gateway says the instrument is called."""
    (details,) = await client.ib.reqContractDetailsAsync(contract)
    assert details.contract is not None
    return details.contract.symbol


def events(path: Path) -> tuple[Event, ...]:
    return load(path).events


def test_a_recorded_session_is_heard_again_by_another_client(tmp_path: Path) -> None:
    """The second client counts its requests from elsewhere and is another number; all it hears is what was recorded."""
    path = tmp_path / "session.jsonl"

    async def scenario() -> None:
        async with recorded_gateway(path) as (gateway, running), terminal(running.port, 3) as first:
            live = await session(first)
            assert gateway.state.clients.keys() == {3}
        assert live["account"] == ["DU9000001"]
        settings = StageSettings(path=path, speed=0)
        async with running_stage(settings) as stage, terminal(stage.port, 8, first_id=70_000) as second:
            assert second.ib.client._reqIdSeq > 70_000
            again = await session(second)
            assert second.codes == []
        assert stage.strangers == 0
        assert again == {**live, "account": ["DU0000001"]}

    run(scenario())


def test_no_account_number_is_left_in_the_file(tmp_path: Path) -> None:
    """Not in what the Gateway says, not in what the client asks, not in what it put into a free field."""
    path = tmp_path / "session.jsonl"

    async def scenario() -> None:
        async with recorded_gateway(path) as (_, running), terminal(running.port) as client:
            order = market("BUY", 1, account="DU9000001", orderRef="of DU9000001, see U1234567")
            await status(client.place(order), "Filled")

    run(scenario())
    text = path.read_text()
    assert "9000001" not in text
    assert "1234567" not in text
    assert "of DU0000001, see DU0000002" in text
    assert "127.0.0.1" not in text


def test_requests_that_were_not_recorded_get_an_error_and_the_session_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"

    async def scenario() -> None:
        async with recorded_gateway(path) as (_, running), terminal(running.port) as first:
            await first.ib.reqContractDetailsAsync(MSFT)
        async with running_stage(StageSettings(path=path, speed=0)) as stage, terminal(stage.port) as second:
            with contextlib.suppress(Exception):
                await second.ib.reqContractDetailsAsync(AAPL)
            assert (await second.told(322))[2].endswith(
                "ReqContractDetails (9) about AAPL was not recorded, or not at this point"
            )
            assert await symbol_of(second, MSFT) == "MSFT"
            assert stage.strangers == 1

    run(scenario())


def test_a_replay_keeps_the_recorded_pace(tmp_path: Path) -> None:
    """At ten times the speed the answer that took one second takes a tenth of it."""
    path = tmp_path / "paced.jsonl"
    header = {"format": "ibstream-gateway-recording", "version": 1, "recorded_at": "", "server_version": 178}
    lines: list[dict[str, Any]] = [
        header,
        {"t": 0, "connection": 1, "by": "server", "kind": "greeting", "fields": ["178", "20261123 10:00:00 EST"]},
        {"t": 0, "connection": 1, "by": "client", "kind": "frame", "fields": ["71", "2", "1", ""]},
        {"t": 1, "connection": 1, "by": "client", "kind": "frame", "fields": ["49", "1"]},
        {"t": 2, "connection": 1, "by": "server", "kind": "frame", "fields": ["49", "1", "1795446000"]},
        {"t": 2, "connection": 1, "by": "server", "kind": "closed"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    async def scenario() -> None:
        clock = Strides()
        async with (
            running_stage(StageSettings(path=path, speed=10), clock=clock) as stage,
            bare(stage.port, HELLO + START + frame(("49", "1"))) as (reader, _),
        ):
            assert (await frames(reader, 2))[1] == ["49", "1", "1795446000"]
            assert await reader.read() == b""
        assert clock.slept == [pytest.approx(0.1)]

    run(scenario())


class Strides:
    """A clock on which every sleep ends at once and is as long as it was asked to be."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return 5.0 + sum(self.slept)

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a replay asks for no {name}")


@contextlib.asynccontextmanager
async def bare(port: int, opening: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(opening)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def frames(reader: asyncio.StreamReader, count: int) -> list[list[str]]:
    """The next frames as their fields."""
    heard = []
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(count):
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            heard.append((await reader.readexactly(length)).decode().split("\0")[:-1])
    return heard


@contextlib.asynccontextmanager
async def scripted_upstream(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A server that does what a test says to each client; what only looks whether it is there is let go."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_bytes_pass_unaltered_however_they_are_cut_and_the_last_ones_arrive(tmp_path: Path) -> None:
    """The Gateway says its last words and hangs up at once; they reach the client, and the file."""
    last_words = frame(("4", "2", "-1", "326", "in use", ""))
    answer = frame(("178", "20261123 10:00:00 EST")) + frame(("15", "1", "DU9000001")) + last_words
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readexactly(len(HELLO + START)))
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()

    async def scenario() -> None:
        async with (
            scripted_upstream(serve) as port,
            recorder(tmp_path / "cut.jsonl", port) as running,
            bare(running.port, b"") as (reader, writer),
        ):
            for byte in HELLO + START:
                writer.write(bytes([byte]))
                await writer.drain()
            async with asyncio.timeout(DEADLINE_S):
                assert await reader.read() == answer
        assert bytes(heard) == HELLO + START

    run(scenario())
    written = [(event.by, event.kind, event.fields) for event in events(tmp_path / "cut.jsonl")]
    assert written[-2:] == [("server", "frame", ("4", "2", "-1", "326", "in use", "")), ("server", "closed", None)]


def test_a_slow_client_slows_the_gateway_and_nothing_is_lost(tmp_path: Path) -> None:
    """The recorder does not fill its memory for a client that does not read: the Gateway is made to wait instead."""
    tick = frame(("46", "6", "1", "88", "x" * 1000))
    total = 20_000
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readexactly(len(HELLO + START))
        writer.write(frame(("178", "")) + frame(("15", "1", "DU9000001")))
        for _ in range(total):
            writer.write(tick)
            await writer.drain()
            sent += 1

    async def scenario() -> None:
        async with (
            scripted_upstream(serve) as port,
            recorder(tmp_path / "slow.jsonl", port) as running,
            bare(running.port, HELLO + START) as (reader, _),
        ):
            await reader.readexactly(8)
            stood_at = await stands_still(lambda: sent)
            assert stood_at < total
            rest = await reader.read(-1)
            assert rest.count(b"x" * 1000) == total

    run(scenario())
    assert sum(1 for event in events(tmp_path / "slow.jsonl") if event.fields and event.fields[0] == "46") == total


async def stands_still(count: Callable[[], int]) -> int:
    """The value of a counter that has not moved for ten looks at it."""
    last, same = -1, 0

    def look() -> bool:
        nonlocal last, same
        same = same + 1 if count() == last else 0
        last = count()
        return same >= 10 and last > 0

    await eventually(look, what="the counter to stand still", within_s=20)
    return last


def test_a_slow_disk_slows_the_conversation_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_writer, "PENDING_BYTES_MAX", 10_000)
    tick = frame(("46", "6", "1", "88", "x" * 1000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(HELLO + START))
        writer.write(frame(("178", "")) + frame(("15", "1", "DU9000001")) + tick * 3_000)
        await writer.drain()

    async def scenario() -> None:
        async with (
            scripted_upstream(serve) as port,
            recorder(tmp_path / "disk.jsonl", port) as running,
            bare(running.port, HELLO + START) as (reader, _),
        ):
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read()).count(b"x" * 1000) == 3_000

    run(scenario())
    assert sum(1 for event in events(tmp_path / "disk.jsonl") if event.fields and event.fields[0] == "46") == 3_000


def test_what_the_gateway_says_after_its_client_has_ended_still_arrives(tmp_path: Path) -> None:
    farewell = frame(("4", "2", "-1", "1300", "bye", ""))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(frame(("178", "")) + farewell)

    async def scenario() -> None:
        async with (
            scripted_upstream(serve) as port,
            recorder(tmp_path / "half.jsonl", port) as running,
            bare(running.port, HELLO) as (reader, writer),
        ):
            writer.write_eof()
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read()).endswith(farewell)

    run(scenario())
    assert [(event.kind, event.by) for event in events(tmp_path / "half.jsonl")] == [
        ("hello", "client"),
        ("closed", "client"),
        ("greeting", "server"),
        ("frame", "server"),
    ]


def test_more_clients_than_the_recorder_takes_are_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "CONNECTIONS_MAX", 1)

    async def scenario() -> None:
        async with recorded_gateway(tmp_path / "many.jsonl") as (_, running), bare(running.port, HELLO) as (first, _):
            assert (await frames(first, 1))[0][0] == "178"
            async with bare(running.port, HELLO) as (second, _), asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionError):
                    assert await second.read() == b""

    run(scenario())
    assert [event.note for event in events(tmp_path / "many.jsonl") if event.connection == 2] == [
        "too many clients at one time"
    ]


def test_two_clients_are_written_apart_and_replayed_each_to_its_own(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"

    async def scenario() -> None:
        async with (
            recorded_gateway(path) as (_, running),
            terminal(running.port, 1) as one,
            terminal(running.port, 2) as two,
        ):
            await one.ib.reqContractDetailsAsync(AAPL)
            await two.ib.reqContractDetailsAsync(MSFT)
        async with running_stage(StageSettings(path=path, speed=0)) as stage:
            async with terminal(stage.port, 2) as two, terminal(stage.port, 1) as one:
                assert await symbol_of(one, AAPL) == "AAPL"
                assert await symbol_of(two, MSFT) == "MSFT"
            async with terminal(stage.port, 1) as one:
                assert await symbol_of(one, AAPL) == "AAPL"
            assert stage.strangers == 0

    run(scenario())
    assert {event.connection for event in events(path)} == {1, 2}


def test_a_gateway_that_is_not_there_is_said_so_at_the_start(tmp_path: Path) -> None:
    port = free_port()
    settings = RecorderSettings(upstream_host="127.0.0.1", upstream_port=port, path=tmp_path / "none.jsonl")
    with pytest.raises(UpstreamError, match=f"no Gateway to record at 127.0.0.1:{port}: ") as caught:
        run(record(asyncio.Event(), settings))
    assert caught.value.exit_status == 1
    assert not settings.path.exists()


def test_a_gateway_that_goes_away_ends_its_client_and_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "gone.jsonl"

    async def scenario() -> None:
        async with running_gateway(SETTINGS) as gateway, recorder(path, gateway.port) as running:
            await gateway.stop()
            async with bare(running.port, HELLO) as (reader, _):
                async with asyncio.timeout(DEADLINE_S):
                    with contextlib.suppress(ConnectionError):
                        assert await reader.read() == b""

    run(scenario())
    (closed,) = events(path)
    assert (closed.kind, closed.by) == ("closed", "server")
    assert closed.note == "the Gateway cannot be reached: Connection refused"


def test_a_silent_gateway_is_left_silent_and_the_recorder_still_stops(tmp_path: Path) -> None:
    """Half-open: the connection stands, nothing comes."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scenario() -> None:
        async with (
            scripted_upstream(serve) as port,
            recorder(tmp_path / "silent.jsonl", port) as running,
            bare(running.port, HELLO) as (reader, _),
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read(1)
            await running.stop()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    run(scenario(), timeout_s=15)
    assert [event.kind for event in events(tmp_path / "silent.jsonl")] == ["hello", "closed"]


@pytest.mark.parametrize(
    ("options", "passed_on"),
    [({}, b"v157..178"), ({"version_max": 177}, b"v157..177"), ({"version_max": None}, b"v157..226")],
    ids=["as it is set", "to another", "not at all"],
)
def test_a_newer_client_is_kept_to_text_unless_told_otherwise(
    tmp_path: Path, options: dict[str, Any], passed_on: bytes
) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(len(HELLO)))
        writer.write(frame(("178", "")))

    async def scenario() -> None:
        newer = HELLO.replace(b"v157..178", b"v157..226")
        path = tmp_path / "old.jsonl"
        async with (
            scripted_upstream(serve) as port,
            recorder(path, port, **options) as running,
            bare(running.port, newer) as (reader, _),
        ):
            assert await frames(reader, 1) == [["178", ""]]
        assert heard == [HELLO.replace(b"v157..178", passed_on)]

    run(scenario())
    assert events(tmp_path / "old.jsonl")[0].fields == ("v157..226",)


def test_a_replay_on_a_used_port_or_of_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jsonl"
    path.write_text('{"format":"ibstream-gateway-recording","version":1,"recorded_at":"","server_version":null}\n{"t":')
    with pytest.raises(RecordingError, match=r"damaged.jsonl, line 2: the line has no end"):
        run(replay(asyncio.Event(), StageSettings(path=path)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = RecorderSettings(
            upstream_host="127.0.0.1",
            upstream_port=taken.getsockname()[1],
            path=tmp_path / "new.jsonl",
            port=taken.getsockname()[1],
        )
        with pytest.raises(CannotListenError, match="the port is in use"):
            run(record(asyncio.Event(), settings))


def test_a_client_that_speaks_no_recorded_version_is_hung_up_on(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"

    async def scenario() -> None:
        async with recorded_gateway(path) as (_, running), terminal(running.port):
            pass
        async with (
            running_stage(StageSettings(path=path)) as stage,
            bare(stage.port, HELLO.replace(b"178", b"176")) as (reader, _),
        ):
            async with asyncio.timeout(DEADLINE_S):
                assert await reader.read() == b""

    run(scenario())


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:4002", ("127.0.0.1", 4002)), ("[::1]:4002", ("::1", 4002)), ("gateway:1", ("gateway", 1))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["4002", ":4002", "gateway", "gateway:", "gateway:0", "gateway:65536", "gateway:x", "gateway:" + "9" * 5_000],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not host:port"):
        split_address(text)


@pytest.mark.parametrize(("text", "version"), [("178", 178), ("none", None), ("None", None), ("100", 100)])
def test_version_limits(text: str, version: int | None) -> None:
    assert version_limit(text) == version


@pytest.mark.parametrize("text", ["", "99", "-178", "v178", "off", "1_78", "9" * 5_000])
def test_no_version_limits(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is neither a version from 100 on nor none"):
        version_limit(text)


@pytest.mark.parametrize(
    ("arguments", "version"), [((), 178), (("--max-version", "none"), None), (("--max-version", "200"), 200)]
)
def test_the_command_keeps_newer_clients_to_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], version: int | None
) -> None:
    limits: list[int | None] = []

    async def note(_: asyncio.Event, settings: RecorderSettings) -> None:
        limits.append(settings.version_max)

    monkeypatch.setattr(commands, "record_until", note)
    app = typer.Typer()
    app.command()(commands.record)
    file = str(tmp_path / "file.jsonl")
    CliRunner().invoke(app, ["--upstream", "127.0.0.1:4002", *arguments, "--log-level", "critical", file])
    assert limits == [version]


def test_the_commands_end_with_a_status_that_tells(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(commands.record)
    app.command()(commands.replay)

    def status_of(*arguments: str) -> int:
        return CliRunner().invoke(app, [*arguments, "--log-level", "critical"]).exit_code

    file = str(tmp_path / "file.jsonl")
    assert status_of("record", "--upstream", f"127.0.0.1:{free_port()}", file) == 1
    assert status_of("record", "--upstream", "4002", file) == EXIT_CONFIGURATION
    assert status_of("record", "--upstream", "127.0.0.1:4002", "--max-version", "new", file) == EXIT_CONFIGURATION
    assert status_of("record", "--upstream", "127.0.0.1:4002", "--host", "0.0.0.0", file) == EXIT_CONFIGURATION
    assert status_of("replay", "--port", "0", file) == 1
    assert status_of("replay", "--port", "0", "--host", "0.0.0.0", file) == EXIT_CONFIGURATION
    assert status_of("replay", "--speed", "nan", file) == 2
    assert status_of("replay", "--speed", "-1", file) == 2


def test_both_commands_run_until_they_are_told_to_stop(tmp_path: Path) -> None:
    """A session through `record` in a process of its own, ended by SIGTERM, is served by `replay` in another."""
    path = tmp_path / "session.jsonl"

    async def ask(port: int, heard: list[str]) -> None:
        async with terminal(port) as client:
            heard.append(await symbol_of(client, MSFT))

    async def scenario() -> list[str]:
        heard: list[str] = []
        async with (
            running_gateway(SETTINGS) as gateway,
            command("record", "--upstream", f"127.0.0.1:{gateway.port}", str(path)) as port,
        ):
            await ask(port, heard)
        async with command("replay", "--port", "0", "--speed", "inf", str(path)) as port:
            await ask(port, heard)
        return heard

    assert run(scenario()) == ["MSFT", "MSFT"]


@contextlib.asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[int]:
    """The emulator's command as a process, once it listens; the port. It must end well when it is told to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "ibstream_gateway_emulator", *arguments, "--log-format", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = json.loads(await process.stdout.readline())
        assert line["event"].endswith(".listening"), line
        yield int(line["port"])
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
