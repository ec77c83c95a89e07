"""The command `ibstream-gateway-emulator` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

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
