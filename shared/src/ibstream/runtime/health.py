"""The small HTTP endpoint of a service: `/livez`, `/readyz` and `/metrics`.

It runs in a thread of its own, so that it still answers, and says so, when the event loop hangs.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BEAT_INTERVAL_S = 1.0
"""How often the event loop shows that it turns."""

HANGING_AFTER_S = 10.0
"""Without a beat for this long, `/livez` answers 503."""


class Health:
    """What the endpoint tells: whether the loop turns, and whether the service can do its work."""

    def __init__(self, service: str, clock: Clock) -> None:
        self.service = service
        """The service's name, as in the settings `metrics.port_<service>`."""
        self._clock = clock
        self._last_beat = clock.monotonic()
        self._not_ready_because = "starting"

    def set_ready(self) -> None:
        """From now on `/readyz` answers 200."""
        self._not_ready_because = ""

    def set_not_ready(self, reason: str) -> None:
        """From now on `/readyz` answers 503 with `reason`."""
        self._not_ready_because = reason or "not ready"

    async def beat_for_ever(self) -> None:
        """Keep `/livez` alive; run this on the event loop it speaks for."""
        while True:
            self._last_beat = self._clock.monotonic()
            await self._clock.sleep(BEAT_INTERVAL_S)

    def live(self) -> tuple[int, dict[str, object]]:
        """HTTP status and body of `/livez`."""
        silent_s = self._clock.monotonic() - self._last_beat
        return (503 if silent_s > HANGING_AFTER_S else 200), {
            "service": self.service,
            "loop_silent_s": round(silent_s, 3),
        }

    def ready(self) -> tuple[int, dict[str, object]]:
        """HTTP status and body of `/readyz`."""
        reason = self._not_ready_because
        return (503 if reason else 200), {"service": self.service, "ready": not reason, "reason": reason}


class HealthServer:
    """Serves `Health` and the process's metrics on `host:port`; port 0 takes a free one."""

    def __init__(self, health: Health, *, host: str, port: int) -> None:
        try:
            self._server = make_server(
                host, port, _application(health), server_class=_ThreadingServer, handler_class=_SilentHandler
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve health and metrics on {host}:{port} ({error.strerror}); "
                f"set SA_METRICS__PORT_{health.service.upper()} to a free port, or to 0 for any"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port, whether it was started or not."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # WSGIServer asks the resolver for the machine's name, which can take seconds; nobody reads it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """A line per scrape is noise."""


def _application(health: Health) -> WSGIApplication:
    metrics: WSGIApplication = make_wsgi_app()
    routes: dict[str, Callable[[], tuple[int, dict[str, object]]]] = {"/livez": health.live, "/readyz": health.ready}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path not in routes:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/livez, /readyz or /metrics\n"]
        status, body = routes[path]()
        start_response(
            f"{status} {'OK' if status == 200 else 'Service Unavailable'}", [("Content-Type", "application/json")]
        )
        return [json.dumps(body).encode() + b"\n"]

    return application
