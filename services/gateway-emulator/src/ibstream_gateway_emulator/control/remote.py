"""The handle over HTTP, for an emulator in another process.

async with RemoteControl("http://127.0.0.1:14080") as control:
    await control.drop_connection(client_id=1)
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from ibstream_gateway_emulator.control import transcript, views
from ibstream_gateway_emulator.control.handle import CommandError, Control
from ibstream_gateway_emulator.control.journal import Direction
from ibstream_gateway_emulator.faults import verbs

T = TypeVar("T")

TIMEOUT_S = 10.0


class RemoteControl(Control):
    """A context manager over the control API at `url`. Questions raise `httpx.HTTPError` where it does not answer."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        # Loopback: a proxy of the environment has no part in it.
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def command(self, *commanded: verbs.Verb) -> None:
        """Do these verbs, in order. Raises `CommandError` at the first that cannot be done."""
        answer = await self._http.post("/faults", content=msgspec.json.encode(commanded))
        if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
            raise CommandError(answer.json()["detail"])
        answer.raise_for_status()

    async def clients(self) -> list[views.ClientRow]:
        """The connected clients."""
        return await self._ask("/clients", list[views.ClientRow])

    async def orders(self) -> list[views.OrderRow]:
        """Every order, as it stands at IBKR; rejected and lost ones, too."""
        return await self._ask("/orders", list[views.OrderRow])

    async def executions(self) -> list[views.ExecutionRow]:
        """Every execution, by time, whoever was told of it."""
        return await self._ask("/executions", list[views.ExecutionRow])

    async def messages(
        self,
        *,
        client_id: int | None = None,
        direction: Direction | None = None,
        name: str | None = None,
        after: int | None = None,
        limit: int = transcript.MESSAGES_AT_ONCE,
    ) -> views.Messages:
        """What was said, as `Control.messages` describes it."""
        asked = {"client_id": client_id, "direction": direction, "name": name, "after": after, "limit": limit}
        return await self._ask("/messages", views.Messages, {key: one for key, one in asked.items() if one is not None})

    async def faults(self) -> views.FaultsView:
        """What is in force, and what was commanded so far."""
        return await self._ask("/faults", views.FaultsView)

    async def _ask(self, path: str, kind: type[T], asked: dict[str, Any] | None = None) -> T:
        answer = await self._http.get(path, params=asked)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=kind)
