"""The command `ibstream-gateway-emulator` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support import free_port

from ibstream.runtime.clock import SYSTEM_CLOCK

SYMBOLS = ("--symbols", str(Path(__file__).parents[2] / "config" / "symbols" / "sp500.txt"))


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ibstream_gateway_emulator", *SYMBOLS, "--log-format", "json", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def first_line(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stderr is not None
    record: dict[str, object] = json.loads(process.stderr.readline())
    return record


def test_it_says_where_it_listens_and_stops_within_a_second_of_sigterm() -> None:
    with start("--port", "0", "--seed", "9") as process:
        listening = first_line(process)
        assert listening["event"] == "gateway_emulator.listening"
        assert (listening["seed"], listening["host"]) == (9, "127.0.0.1")
        port = listening["port"]
        assert isinstance(port, int)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"API\0\0\0\0\x09v157..178")
            assert b"178\0" in client.recv(100)
            before = SYSTEM_CLOCK.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert SYSTEM_CLOCK.monotonic() - before < 1.0


def test_a_port_in_use_is_one_clear_line_and_status_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start("--port", str(port)) as process:
            _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        [line] = errors.splitlines()
        assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "gateway.example"])
def test_an_address_others_can_reach_must_be_meant(host: str) -> None:
    with start("--host", host, "--port", str(free_port())) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 78
    [line] = errors.splitlines()
    assert "--allow-remote" in line


def test_a_missing_symbol_list_is_named() -> None:
    with start("--symbols", "nowhere.txt", "--port", "0") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 78
    assert "nowhere.txt" in errors


def test_a_container_may_listen_on_all_addresses() -> None:
    with start("--host", "0.0.0.0", "--allow-remote", "--port", "0") as process:
        assert first_line(process)["host"] == "0.0.0.0"
        process.terminate()
        assert process.wait(5) == 0


def test_the_control_api_is_served_beside_it_and_goes_with_it() -> None:
    with start("--port", "0", "--control-port", "0") as process:
        port = first_line(process)["port"]
        control = first_line(process)
        assert control["event"] == "gateway_emulator.control_listening"
        with httpx.Client(base_url=str(control["url"]), trust_env=False) as http:
            assert http.get("/health").json()["port"] == port
            assert http.post("/faults", json={"verb": "refuse_connects"}).status_code == 200
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(str(port))))
        process.terminate()
        assert process.wait(5) == 0


def test_a_scenario_is_played_from_the_start(tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_text("steps: [{at: 0s, verb: accept_silently}, {after: 10ms, verb: lose_link}]")
    with start("--port", "0", "--scenario", str(file)) as process:
        heard = [first_line(process) for _ in range(3)]
        assert [one.get("verb") for one in heard] == [None, "accept_silently", "lose_link"]
        with socket.create_connection(("127.0.0.1", int(str(heard[0]["port"])))) as client:
            client.settimeout(0.2)
            client.sendall(b"API\0\0\0\0\x09v157..178")
            with pytest.raises(TimeoutError):
                client.recv(1)
        process.terminate()
        assert process.wait(5) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scenario", "nowhere.yaml"), "nowhere.yaml"),
        (("--market-data-lines", "many"), "--market-data-lines many: give a number, or none"),
        (("--set", "colour=red"), "--set colour=red: write NAME=VALUE; names are symbols, host, port"),
        (("--set", "tell_commission=perhaps"), "--set tell_commission=perhaps: Expected `bool`"),
        (("--set", "journal_messages=-1"), "--set journal_messages=-1: Expected `int` >= 0"),
        (("--set", "limits={clients: -1}"), "Expected `int` >= 1 - at `$.clients`"),
        (("--clients", "0"), "clients cannot be 0: Expected `int` >= 1"),
        (("--account", ""), "account cannot be ''"),
        (("--set", "holdings=[{symbol: NOPE, quantity: 1, average_cost: 1}]"), "holdings: NOPE is no instrument here"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(arguments: tuple[str, ...], said: str) -> None:
    with start("--port", "0", *arguments) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 78
    [line] = errors.splitlines()
    assert said in line


def test_record_and_replay_are_commands_of_their_own() -> None:
    for command in ("record", "replay"):
        shown = subprocess.run(
            [sys.executable, "-m", "ibstream_gateway_emulator", command, "--help"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert shown.returncode == 0
        assert "FILE" in shown.stdout.upper()
