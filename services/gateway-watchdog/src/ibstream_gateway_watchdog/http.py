"""The HTTP API and the WebSocket. Loopback only by default; nothing here changes anything."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ibstream.runtime.health import Health
from ibstream_gateway_watchdog.hub import CODE_TRY_AGAIN_LATER, Hub, Subscription, TooManyClientsError
from ibstream_gateway_watchdog.models import Liveness, Readiness, SystemHealth, system_health
from ibstream_gateway_watchdog.service import Watchdog

CLOSE_TIMEOUT_S = 0.5
"""A client that does not read cannot be told that it is sent away; it is not waited for longer than this."""

_POLICY_VIOLATION = 1008


def create_app(watchdog: Watchdog, health: Health) -> FastAPI:
    """The application over a watchdog: `/api/system/health`, `/ws/system`, `/livez`, `/readyz`, `/metrics`.

    No interactive documentation: its page loads scripts from elsewhere. `/openapi.json` has it all.
    """
    running = _version()
    app = FastAPI(title="ibstream gateway-watchdog", version=running, docs_url=None, redoc_url=None)
    _add_probes(app, health)

    @app.get("/api/system/health")
    async def system() -> SystemHealth:
        """Mode, reasons, services, Gateway and bus. Always 200 while the watchdog works, whatever it has to say."""
        return system_health(watchdog, running)

    @app.websocket("/ws/system")
    async def changes(websocket: WebSocket) -> None:
        """The state at once, then every change of the mode and of each connection, as JSON objects."""
        if not is_same_origin(websocket.headers.get("origin"), websocket.headers.get("host")):
            await websocket.close(_POLICY_VIOLATION)
            return
        await websocket.accept()
        await _tell(websocket, watchdog.hub, watchdog.greeting())

    return app


def is_same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a WebSocket may be opened: by anything that is no browser, and by pages that this server itself served.

    Browsers let any page open a WebSocket to this machine, and say in `Origin` which page it was.
    """
    return origin is None or (host is not None and urlsplit(origin).netloc.lower() == host.lower())


def _add_probes(app: FastAPI, health: Health) -> None:
    @app.get("/livez")
    async def livez(response: Response) -> Liveness:
        """200 while the event loop turns."""
        response.status_code, body = health.live()
        return Liveness.model_validate(body)

    @app.get("/readyz", responses={503: {"model": Readiness}})
    async def readyz(response: Response) -> Readiness:
        """200 once everything was looked at for the first time, 503 before that and while stopping."""
        response.status_code, body = health.ready()
        return Readiness.model_validate(body)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """All metrics of this process, for Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _tell(websocket: WebSocket, hub: Hub, greeting: str) -> None:
    try:
        with hub.subscribed(greeting) as subscription:
            close_code = await _serve(websocket, subscription)
    except TooManyClientsError:
        close_code = CODE_TRY_AGAIN_LATER
    if close_code:
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await websocket.close(close_code)


async def _serve(websocket: WebSocket, subscription: Subscription) -> int:
    """Send until the client leaves (0) or is sent away (the close code)."""
    over = asyncio.create_task(subscription.over())
    tasks = {over, asyncio.create_task(_send(websocket, subscription)), asyncio.create_task(_receive(websocket))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return over.result() if over.done() else 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(websocket: WebSocket, subscription: Subscription) -> None:
    while True:
        await websocket.send_text(await subscription.next())


async def _receive(websocket: WebSocket) -> None:
    """Until the client leaves. What it says is not listened to."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _version() -> str:
    try:
        return version("ibstream-gateway-watchdog")
    except PackageNotFoundError:  # run from the source tree
        return "0"
