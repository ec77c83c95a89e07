"""Where a storm rages: a Redis of its own, a stand-in Gateway in this process, brokers as processes, others who trade."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from faults.storm_faults import BROKER, OTHER
from redis_for_tests import KillableServer
from support import eventually
from system import Process

from ibstream.bus import Bus, BusUnavailable
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.orders import OrderRequest
from ibstream.contracts.registry import ORDER_REQUESTS, client_id_lease, heartbeat_key, order_positions_key
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.faultpoints import VARIABLE
from ibstream_broker.domain.position_lines import AccountLine, journalled
from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN")
CASH = 1_000_000_000
"""Enough for whatever a storm buys: funds are not what it is about."""

STARTED_WITHIN_S = 60.0
TAKEN_OVER_WITHIN_S = 30.0
OTHERS_TIMEOUT_S = 3.0
RETRY_S = 0.05

SETTINGS = {
    "SA_BROKER__REQUESTS_PER_S": "100",
    "SA_BROKER__IBKR__REQUESTS_PER_S": "200",
    "SA_BROKER__RECONCILE_INTERVAL_S": "1",
    "SA_BROKER__IBKR__CONNECT_TIMEOUT_S": "3",
    "SA_BROKER__IBKR__PROBE_INTERVAL_S": "1.1",
    "SA_BROKER__IBKR__PROBE_TIMEOUT_S": "0.8",
    "SA_METRICS__PORT_BROKER": "0",
    "SA_LOGGING__FORMAT": "json",
    "PYTHONUNBUFFERED": "1",
}
"""A broker that notices soon, and is not held back by a message limit."""

_FREE_DEAD_ONE = """
local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, #ARGV[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class World:
    """Everything outside of the brokers, and the brokers."""

    def __init__(self, directory: Path, server: KillableServer, gateway: GatewayServer) -> None:
        self.directory = directory
        self.server = server
        self.gateway = gateway
        self.control = GatewayControl(gateway.state)
        self.bus = Bus(server.url, client_name="storm")
        self.counts: Counter[str] = Counter()
        """What was done, for the report."""
        self.is_followed = False
        """Whether its account was followed before; see `follow_account`."""
        self._redis_lock = asyncio.Lock()
        self._brokers: list[Process] = []

    # Brokers.

    async def spawn(self, fault_point: str = "") -> Process:
        """Start a broker, told to die there."""
        environment = {
            **os.environ,
            **SETTINGS,
            "SA_REDIS__URL": self.server.url,
            "SA_BROKER__IBKR__PORT": str(self.gateway.port),
            VARIABLE: fault_point,
        }
        log = self.directory / f"broker-{len(self._brokers)}-{fault_point.replace(':', '-')}.log"
        process = await Process(log, "ibstream_broker", environment=environment).start()
        self._brokers.append(process)
        return process

    async def active(self, broker: Process, *, within_s: float = TAKEN_OVER_WITHIN_S) -> None:
        """Wait until this broker is the active one."""

        async def holds() -> bool:
            value = await self._answer(self.bus.get(self._lease)) or b""
            return bytes(value).startswith(f"broker-{broker.pid}|".encode()) or not broker.running

        await eventually(holds, within_s=within_s, what=f"broker {broker.pid} to be the active one")

    async def ready(self, broker: Process, *, within_s: float) -> None:
        """Wait until this broker takes orders."""

        async def says_so() -> bool:
            beat = await self._answer(self.bus.get(heartbeat_key("broker", "0"))) or b""
            said = f'"pid":{broker.pid}'.encode() in beat and f'"state":"{ConnectionState.READY}"'.encode() in beat
            return said or not broker.running

        await eventually(says_so, within_s=within_s, what=f"broker {broker.pid} to be ready\n{broker.said()[-2000:]}")
        assert broker.running, f"the broker ended by itself:\n{broker.said()[-3000:]}"

    async def follow_account(self) -> None:
        """Let the account be one that was followed for an hour, and held nothing: as any broker but the very first finds it.

        The very first one needs half a minute of calm to tell which of the executions of its first seconds its first
        listing of positions held.
        """
        self.is_followed = True
        since = AccountLine(since=SYSTEM_CLOCK.now() - timedelta(hours=1))
        fields = {name: bytes(value) for name, value in journalled(since).items()}
        await self.bus.set_fields(order_positions_key(self.gateway.state.account), fields)

    async def free_lease(self, broker: Process) -> None:
        """Let the lease of a dead broker run out at once: four seconds less to wait for the next one."""
        assert not broker.running
        await self.insist(lambda: self.bus.run_script(_FREE_DEAD_ONE, [self._lease], [f"broker-{broker.pid}|"]))

    @property
    def _lease(self) -> str:
        return client_id_lease("127.0.0.1", self.gateway.port, BROKER)

    def logs(self) -> list[dict[str, Any]]:
        """The log records of all brokers."""
        return [record for broker in self._brokers for record in broker.records()]

    async def end(self) -> None:
        """No broker is left."""
        for broker in self._brokers:
            if broker.running:
                await broker.stop(signal.SIGKILL)
        await self.bus.close()

    # Requests.

    async def write(self, request: OrderRequest | bytes) -> None:
        """Put an entry on the requests' stream, as often as it takes: what was written without an answer is there twice."""
        fields: Mapping[Any, Any] = (
            {"type": "orders.submit.v1", "data": request}
            if isinstance(request, bytes)
            else {"type": type_of(request), "data": encode(request)}
        )
        await self.insist(lambda: self.bus.call(self.bus.redis.xadd(ORDER_REQUESTS.name, dict(fields))))

    async def insist(self, ask: Any) -> Any:
        """Ask Redis until it answers."""
        while True:
            try:
                return await ask()
            except BusUnavailable:
                self.counts["redis had no answer"] += 1
                await SYSTEM_CLOCK.sleep(RETRY_S)

    async def _answer(self, question: Any) -> Any:
        try:
            return await question
        except BusUnavailable:
            return None

    # Somebody else.

    async def others_trade(self, orders: int, *, prefix: str) -> int:
        """Another client connects, places orders, of which every second one rests, and leaves. Returns how many arrived."""
        from ib_async import IB, LimitOrder, MarketOrder, StartupFetchNONE, Stock

        ib = IB()
        refs = [f"{prefix}-{number}" for number in range(orders)]
        try:
            async with asyncio.timeout(OTHERS_TIMEOUT_S):
                await ib.connectAsync(
                    "127.0.0.1",
                    self.gateway.port,
                    clientId=OTHER,
                    timeout=OTHERS_TIMEOUT_S,
                    fetchFields=StartupFetchNONE,
                )
                for number, ref in enumerate(refs):
                    contract = Stock(SYMBOLS[number % len(SYMBOLS)], "SMART", "USD")
                    order = LimitOrder("BUY", 3, 1.0, tif="GTC") if number % 2 else MarketOrder("SELL", 7, tif="DAY")
                    order.orderRef = ref
                    ib.placeOrder(contract, order)
                while not {row.order_ref for row in await self.control.orders()}.issuperset(refs):
                    await SYSTEM_CLOCK.sleep(RETRY_S)
        except (TimeoutError, OSError):  # the Gateway is away, frozen, or lost them
            self.counts["others could not trade"] += 1
        finally:
            ib.disconnect()
        return sum(row.order_ref in refs and row.outcome == "taken" for row in await self.control.orders())

    # Redis.

    async def kill_redis(self, down_s: float) -> None:
        """SIGKILL, and a new start on the same data."""
        async with self._redis_lock:
            await self.server.kill()
            await SYSTEM_CLOCK.sleep(down_s)
            await self.server.start()


@contextlib.asynccontextmanager
async def world(directory: Path, *, seed: int) -> AsyncIterator[World]:
    """A world without brokers; what is left of it ends with the context."""
    settings = EmulatorSettings(
        symbols=SYMBOLS,
        port=0,
        seed=seed,
        cash=CASH,
        tick_interval_ms=100,
        limits=Limits.lifted(),
        partial_fills=seed % 2 == 0,
    )
    server = KillableServer(directory / "redis")
    async with server, running_gateway(settings, clock=SYSTEM_CLOCK) as gateway:
        made = World(directory, server, gateway)
        try:
            yield made
        finally:
            await made.end()
