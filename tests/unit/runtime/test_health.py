"""The health endpoint over real HTTP: alive, ready, metrics, and an answer even when the loop hangs."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import run

from ibstream.contracts.registry import SERVICES
from ibstream.runtime import metrics
from ibstream.runtime.clock import ManualClock
from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.health import BEAT_INTERVAL_S, HANGING_AFTER_S, Health, HealthServer
from ibstream.runtime.settings import MetricsSettings


class Endpoint:
    """A health endpoint that answers, and what it answers."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
        self.health = Health("feed", self.clock)
        self.server = HealthServer(self.health, host="127.0.0.1", port=0)
        self.server.start()

    def get(self, path: str) -> tuple[int, str]:
        """HTTP status and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """One that is closed in the end."""
    made = Endpoint()
    yield made
    made.server.close()


def test_it_is_alive_while_the_loop_turns(endpoint: Endpoint) -> None:
    """200 with the seconds since the last beat; 503 once these are too many; 200 again with the next beat."""

    async def beat() -> None:
        task = asyncio.create_task(endpoint.health.beat_for_ever())
        await asyncio.wait([task], timeout=0.01)
        task.cancel()

    assert endpoint.get("/livez") == (200, '{"service": "feed", "loop_silent_s": 0.0}\n')
    endpoint.clock.advance(HANGING_AFTER_S)
    assert endpoint.get("/livez")[0] == 200
    endpoint.clock.advance(0.5)
    assert endpoint.get("/livez") == (503, '{"service": "feed", "loop_silent_s": 10.5}\n')
    run(beat())
    assert endpoint.get("/livez")[0] == 200


def test_a_turning_loop_beats_often_enough(endpoint: Endpoint) -> None:
    """Several beats could fail before it is called hanging."""

    async def scenario() -> None:
        task = asyncio.create_task(endpoint.health.beat_for_ever())
        for _ in range(40):
            await asyncio.wait([task], timeout=0.001)
            endpoint.clock.advance(BEAT_INTERVAL_S)
            assert endpoint.health.live()[0] == 200
        task.cancel()

    assert BEAT_INTERVAL_S * 3 < HANGING_AFTER_S
    run(scenario())


def test_it_answers_while_the_loop_hangs(endpoint: Endpoint) -> None:
    """The endpoint has a thread of its own: it says 503 from within a loop that does nothing else."""

    async def hang() -> tuple[int, str]:
        endpoint.clock.advance(HANGING_AFTER_S + 1)
        return endpoint.get("/livez")  # blocks the loop, as a bug would

    assert run(hang())[0] == 503


def test_ready_when_it_says_so(endpoint: Endpoint) -> None:
    """Not before the start is over, and with the reason whenever it is not."""
    assert endpoint.get("/readyz") == (503, '{"service": "feed", "ready": false, "reason": "starting"}\n')
    endpoint.health.set_ready()
    assert endpoint.get("/readyz") == (200, '{"service": "feed", "ready": true, "reason": ""}\n')
    assert endpoint.health.ready()[0] == 200
    endpoint.health.set_not_ready('lost "it"')
    status, body = endpoint.get("/readyz")
    assert (status, json.loads(body)["reason"]) == (503, 'lost "it"')
    endpoint.health.set_not_ready("")
    assert endpoint.get("/readyz")[0] == 503
    assert endpoint.health.ready()[0] == 503


def test_metrics_can_be_scraped(endpoint: Endpoint) -> None:
    """In Prometheus' text format, with our own among them and all under one name."""
    metrics.QUOTES_PUBLISHED.inc()
    status, body = endpoint.get("/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["ibstream_quotes_published"].samples[0].value >= 1
    assert all(name.startswith(("ibstream_", "python_", "process_")) for name in families)


@pytest.mark.parametrize("path", ["/", "/health", "/metrics/", "/livez/x", "/../etc/passwd"])
def test_other_paths_are_not_found(endpoint: Endpoint, path: str) -> None:
    """404, with what there is."""
    assert endpoint.get(path) == (404, "/livez, /readyz or /metrics\n")


def test_a_slow_client_keeps_nobody_waiting(endpoint: Endpoint) -> None:
    """Somebody who connects and says nothing has a thread of his own."""
    with socket.create_connection(("127.0.0.1", endpoint.server.port)):
        assert endpoint.get("/livez")[0] == 200


@pytest.mark.parametrize("service", SERVICES)
def test_a_taken_port_names_the_setting(service: str) -> None:
    """The very variable to change, which is one that exists."""
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127.0.0.1:{port} .*SA_METRICS__PORT_{service.upper()} "):
            HealthServer(Health(service, clock), host="127.0.0.1", port=port)
    assert f"port_{service}" in MetricsSettings.model_fields


def test_close_frees_the_port() -> None:
    """Whether it was started or not, and at once."""
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    first = HealthServer(Health("feed", clock), host="127.0.0.1", port=0)
    first.close()
    second = HealthServer(Health("feed", clock), host="127.0.0.1", port=first.port)
    second.start()
    second.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first.port))


@pytest.mark.parametrize(
    ("stream", "label"),
    [
        ("orders:requests", "orders:requests"),
        ("system:feed:disconnected", "system:feed:disconnected"),
        ("quotes:17", "quotes:*"),
        ("data:jobs:backfill-1", "data:jobs:*"),
        ("data:requests", "data:requests"),
    ],
)
def test_stream_labels_have_few_values(stream: str, label: str) -> None:
    """Neither shards nor jobs multiply the time series."""
    assert metrics.stream_label(stream) == label
