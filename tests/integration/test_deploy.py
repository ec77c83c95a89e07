"""The deployment: compose files that validate, images that are pinned and not root, and where an engine answers a real run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
import redis
import yaml
from support import eventually, free_port, run

from ibstream.bus.embedded import server_binary
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.health import Health, HealthServer
from ibstream.runtime.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "deploy/compose.yaml"
EMULATOR_ENV = ROOT / "deploy/emulator.env"
REDIS_CONF = ROOT / "deploy/redis/redis.conf"
COMPOSE = Path(sys.executable).with_name("docker-compose")
SERVICES = ["broker", "data", "feed", "gateway-watchdog"]
OURS = [*SERVICES, "gateway-emulator"]
FULL_VERSION = re.compile(r":v?\d+\.\d+\.\w+")
ENGINE_CHECK_S = 10
BUILD_AND_START_S = 900
NORMAL_WITHIN_S = 120.0


def compose(
    *arguments: str, timeout_s: float = 60, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run the compose command on the deployment, without this shell's settings of ibstream."""
    ambient = {name: value for name, value in os.environ.items() if not name.startswith(("SA_", "IB_", "COMPOSE_"))}
    return subprocess.run(
        [COMPOSE, "--file", COMPOSE_FILE, *arguments],
        env={**ambient, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def resolved(profile: str, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The configuration as the engine would get it."""
    done = compose("--profile", profile, "config", "--format", "json", environment=environment)
    assert done.returncode == 0, done.stderr
    configuration: dict[str, Any] = json.loads(done.stdout)
    return configuration


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    """The services of all profiles together, by name."""
    services: dict[str, Any] = resolved("*")["services"]
    return services


@pytest.mark.parametrize("profiles", [[], ["emulator"], ["gateway"], ["emulator", "gateway"]])
def test_every_profile_is_valid(profiles: list[str]) -> None:
    """Compose accepts the file in every profile, with no secret and no variable prepared."""
    done = compose(*(word for profile in profiles for word in ("--profile", profile)), "config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("profile", "added"), [("", set()), ("emulator", {"gateway-emulator"}), ("gateway", {"ib-gateway"})]
)
def test_a_profile_adds_its_gateway_and_nothing_else(profile: str, added: set[str]) -> None:
    """Without a profile there is no Gateway, and the services wait for one."""
    assert set(resolved(profile)["services"]) == {"redis", *SERVICES} | added


def test_nothing_is_published_beyond_this_machine(everything: dict[str, Any]) -> None:
    """Only the bus and the watchdog are published, on 127.0.0.1; the Gateway's API port never is."""
    published = {(name, port["host_ip"]) for name, service in everything.items() for port in service.get("ports", [])}
    assert published == {("redis", "127.0.0.1"), ("gateway-watchdog", "127.0.0.1")}


def test_the_published_bus_is_where_the_command_looks(everything: dict[str, Any]) -> None:
    """On the host, `ibstream status` finds the containers' bus without any setting."""
    (port,) = everything["redis"]["ports"]
    assert load_settings().redis.bus_url == f"redis://127.0.0.1:{port['published']}/0"


def test_images_are_pinned(everything: dict[str, Any]) -> None:
    """Every image that is not built here names a full version, and so does the base of those that are."""
    foreign = {name: service["image"] for name, service in everything.items() if "build" not in service}
    assert set(foreign) == {"redis", "ib-gateway"}
    assert [image for image in foreign.values() if not FULL_VERSION.search(image)] == []
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "deploy/Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert base
    assert FULL_VERSION.search(base[1])


def test_containers_have_no_rights_they_do_not_need(everything: dict[str, Any]) -> None:
    """Our containers and the bus: read-only, no capability, no new privileges, not root, and back after a crash."""
    for name in [*OURS, "redis"]:
        service = everything[name]
        assert (name, service.get("read_only"), service.get("cap_drop")) == (name, True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert not service.get("privileged")
    assert int(everything["redis"]["user"].partition(":")[0]) > 0
    *_, last_stage = (ROOT / "deploy/Dockerfile").read_text("utf-8").split("\nFROM ")
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", last_stage, re.MULTILINE)


def test_only_the_services_see_both_bus_and_gateway(everything: dict[str, Any]) -> None:
    """Whoever reaches the bus can send orders, so no Gateway container does."""
    networks = {name: set(service["networks"]) for name, service in everything.items()}
    assert networks == {
        "redis": {"bus"},
        "gateway-emulator": {"gateway"},
        "ib-gateway": {"gateway"},
        **{name: {"bus", "gateway"} for name in SERVICES},
    }


def test_secrets_are_files(everything: dict[str, Any]) -> None:
    """No password is an environment variable, where a process list or `docker inspect` would show it."""
    secretive = re.compile(r"PASSWORD|SECRET|TOKEN")
    found = {
        variable
        for service in everything.values()
        for variable in service.get("environment", {})
        if secretive.search(variable) and not variable.endswith("_FILE")
    }
    assert found == set()


@pytest.mark.parametrize("name", ["broker", "data", "feed"])
def test_a_service_can_be_scaled(name: str) -> None:
    """`up --scale broker=2`: a second container would clash with a published port or a fixed name."""
    configuration = resolved("gateway")["services"][name]
    assert not configuration.get("ports")
    assert "container_name" not in configuration


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mode", ["paper", "live"])
def test_the_services_accept_the_settings_they_are_given(
    service: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What compose.yaml sets, as it is and as its comment says for live trading, are settings ibstream starts with."""
    live = {
        "SA_BROKER__PAPER_TRADING": "false",
        "SA_BROKER__IBKR__PORT": "4003",
        "SA_BROKER__CONFIRM_LIVE": "U1234567",
        "SA_RISK__ORDER_QUANTITY_MAX": "1000",
        "SA_RISK__ORDER_NOTIONAL_MAX": "100000",
        "SA_RISK__PRICE_COLLAR_PERCENT": "5",
    }
    configuration = resolved("gateway", {"IB_TRADING_MODE": mode, **(live if mode == "live" else {})})
    for name, value in configuration["services"][service]["environment"].items():
        monkeypatch.setenv(name, value)
    broker = load_settings().broker
    assert (broker.ibkr.host, broker.ibkr.port) == ("ib-gateway", 4003 if mode == "live" else 4004)
    assert broker.paper_trading == (mode == "paper")


def test_the_bus_starts_with_its_configuration(tmp_path: Path) -> None:
    """A real server accepts deploy/redis/redis.conf, and then forgets nothing and evicts nothing."""
    port = free_port()
    command = [str(server_binary()), str(REDIS_CONF), "--port", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port, decode_responses=True) as client:
                run(eventually(lambda: answers(client), what="the server"))
                assert client.config_get("appendonly", "maxmemory-policy") == {
                    "appendonly": "yes",
                    "maxmemory-policy": "noeviction",
                }
        finally:
            process.terminate()
        assert process.wait(timeout=10) == 0


def answers(client: redis.Redis) -> bool:
    """Whether the server is up."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def health_server() -> Iterator[HealthServer]:
    """The endpoint of a live service."""
    server = HealthServer(Health("broker", SYSTEM_CLOCK), host="127.0.0.1", port=0)
    server.start()
    yield server
    server.close()


def health_check(service: str, **environment: str) -> int:
    """Exit status of the image's health check."""
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/healthcheck.py"],
        env={"IBSTREAM_SERVICE": service, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode


def test_the_health_check_passes_on_a_live_service(health_server: HealthServer) -> None:
    """It asks /livez on the port that the settings name."""
    assert health_check("broker", SA_METRICS__PORT_BROKER=str(health_server.port)) == 0


def test_the_health_check_fails_where_nothing_answers() -> None:
    """A refused connection is unhealthy, without a traceback."""
    assert health_check("broker", SA_METRICS__PORT_BROKER=str(free_port())) == 1


@pytest.fixture
def gateway_port() -> Iterator[int]:
    """The port of a stand-in Gateway that runs as its container does."""
    port = free_port()
    command = [sys.executable, "-m", "ibstream_gateway_emulator", "--port", str(port), "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        yield port
        process.terminate()


def test_the_health_check_shakes_hands_with_the_stand_in(gateway_port: int) -> None:
    """The stand-in Gateway is healthy once it answers the handshake of the API."""
    healthy = eventually(lambda: health_check("gateway-emulator", EMULATOR_PORT=str(gateway_port)) == 0, what="health")
    run(healthy)


def test_the_health_check_knows_every_service_and_port(everything: dict[str, Any]) -> None:
    """The ports it falls back on are those of config/settings.yaml, and the stand-in's in compose.yaml."""
    text = (ROOT / "deploy/healthcheck.py").read_text("utf-8")
    settings = yaml.safe_load((ROOT / "config/settings.yaml").read_text("utf-8"))
    assert dict(re.findall(r'"([A-Z_]+)", (\d+)\)', text)) == {
        **{f"SA_METRICS__PORT_{name.upper()}": str(settings["metrics"][f"port_{name}"]) for name in SERVICES[:3]},
        "SA_WATCHDOG__HTTP_PORT": str(settings["watchdog"]["http_port"]),
        "EMULATOR_PORT": everything["gateway-emulator"]["command"][-1],
    }


def test_the_services_look_for_the_stand_in_where_it_listens() -> None:
    """With emulator.env, which also turns the profile on, host and port lead to the stand-in's container."""
    done = compose("--env-file", str(EMULATOR_ENV), "config", "--format", "json")
    services = json.loads(done.stdout)["services"]
    emulator = services["gateway-emulator"]
    for name in SERVICES:
        environment = services[name]["environment"]
        assert environment["SA_BROKER__IBKR__HOST"] in emulator["networks"]["gateway"]["aliases"]
        assert environment["SA_BROKER__IBKR__PORT"] == emulator["command"][-1]


def engine_is_missing() -> str:
    """Why no Docker engine can be used; empty where one answers."""
    try:
        done = compose("ls", timeout_s=ENGINE_CHECK_S)
    except subprocess.TimeoutExpired:
        return f"the Docker engine did not answer within {ENGINE_CHECK_S} s"
    return "" if done.returncode == 0 else done.stderr.strip()


def mode_of(url: str) -> str:
    """The mode the watchdog tells at `url`; empty while it does not answer."""
    try:
        return str(httpx.get(url, timeout=5).json().get("mode", ""))
    except (httpx.TransportError, ValueError):
        return ""


@pytest.mark.docker
def test_the_containers_reach_normal() -> None:
    """The images build, and bus, stand-in Gateway and services together come to mode `normal`, not as root."""
    if reason := engine_is_missing():
        pytest.skip(f"no Docker engine: {reason}")
    port = free_port()
    environment = {"WATCHDOG_PORT": str(port), "REDIS_PORT": str(free_port())}
    project = ["--project-name", f"ibstream-test-{uuid.uuid4().hex[:8]}", "--env-file", str(EMULATOR_ENV)]
    try:
        up = compose(*project, "up", "--build", "--detach", timeout_s=BUILD_AND_START_S, environment=environment)
        assert up.returncode == 0, up.stderr[-4000:]
        url = f"http://127.0.0.1:{port}/api/system/health"
        run(
            eventually(lambda: mode_of(url) == "normal", within_s=NORMAL_WITHIN_S, what="mode normal"),
            timeout_s=NORMAL_WITHIN_S + 10,
        )
        for service in OURS:
            user = compose(*project, "exec", "-T", service, "id", "-u", environment=environment)
            assert (service, user.stdout.strip()) == (service, "10001")
    except AssertionError:
        sys.stderr.write(compose(*project, "logs", "--tail", "50", environment=environment).stdout)
        raise
    finally:
        down = compose(*project, "down", "--volumes", "--timeout", "20", timeout_s=180, environment=environment)
    assert down.returncode == 0, down.stderr
