"""What the demo's processes may see: nothing that was configured can lead them to a real Gateway."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import free_port

from ibstream.cli.environment import (
    REAL_GATEWAY_PORTS,
    PortTakenError,
    demo_environment,
    refuse_taken_ports,
    with_variables,
)
from ibstream.runtime.settings import load_settings

HOSTILE = {
    "SA_BROKER__IBKR__HOST": "gateway.example",
    "sa_broker__ibkr__host": "gateway.example",
    "SA_BROKER__IBKR__PORT": "4001",
    "Sa_Broker__Ibkr__Port": "4001",
    "SA_BROKER__PAPER_TRADING": "false",
    "SA_BROKER__CONFIRM_LIVE": "U1234567",
    "SA_BROKER__IBKR__ACCOUNT_ID": "U1234567",
    "SA_BROKER__PROVIDER": "stub",
    "sa_feed__shards": "3",
    "SA_WATCHDOG__HTTP_HOST": "0.0.0.0",
    "SA_METRICS__HOST": "0.0.0.0",
}


def test_settings_of_the_demo_reach_the_stand_in_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live settings in any spelling are inherited; what the services read is the stand-in Gateway, on paper."""
    environment = demo_environment({**os.environ, **HOSTILE}, gateway_port=14002, http_port=8123, seed=9)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.broker.ibkr.host, settings.broker.ibkr.port) == ("127.0.0.1", 14002)
    assert settings.broker.provider == "ibkr"
    assert settings.broker.paper_trading
    assert (settings.broker.confirm_live, settings.broker.ibkr.account_id) == ("", "")
    assert settings.feed.market_data_lines == 120
    assert settings.feed.shards == 8
    assert (settings.watchdog.http_host, settings.watchdog.http_port) == ("127.0.0.1", 8123)
    assert settings.metrics.host == "127.0.0.1"
    assert (settings.metrics.port_broker, settings.metrics.port_data, settings.metrics.port_feed) == (0, 0, 0)
    assert settings.logging.format == "json"


def test_where_redis_and_the_settings_are_is_kept() -> None:
    """The bus and the settings file are the user's choice; the rest of the environment stays too."""
    inherited = {"SA_REDIS__URL": "redis://h:1/0", "SA_CONFIG": "/x", "SA_LOGGING__LEVEL": "debug", "PATH": "/bin"}
    environment = demo_environment(inherited, gateway_port=14002, http_port=8000, seed=7)
    assert inherited.items() <= environment.items()


@given(st.dictionaries(st.sampled_from(["SA_A", "sa_a", "Sa_A", "SA_B", "PATH"]), st.text()), st.text())
def test_a_variable_has_one_spelling(environment: dict[str, str], value: str) -> None:
    """Settings ignore case, so of a variable that is set no other spelling may be left to contradict it."""
    result = with_variables(environment, {"SA_A": value})
    assert [name for name in result if name.upper() == "SA_A"] == ["SA_A"]
    assert result["SA_A"] == value
    assert {name: text for name, text in result.items() if name.upper() != "SA_A"} == {
        name: text for name, text in environment.items() if name.upper() != "SA_A"
    }


def test_every_known_port_of_a_gateway_is_refused() -> None:
    """Gateway, container and TWS, paper and live."""
    assert {4001, 4002, 4003, 4004, 7496, 7497} <= REAL_GATEWAY_PORTS


def test_all_taken_ports_are_named_at_once() -> None:
    """One line with every port that is taken and the option that changes it."""
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = {"--a-port": first.getsockname()[1], "--b-port": free_port(), "--c-port": second.getsockname()[1]}
        with pytest.raises(PortTakenError) as caught:
            refuse_taken_ports(ports)
    assert f"{ports['--a-port']} (--a-port), {ports['--c-port']} (--c-port)" in str(caught.value)
    assert "--b-port" not in str(caught.value)


def test_one_port_for_two_things_is_refused() -> None:
    """Two options with one free port would collide later, with a worse message."""
    port = free_port()
    with pytest.raises(PortTakenError, match="different"):
        refuse_taken_ports({"--a-port": port, "--b-port": port})
