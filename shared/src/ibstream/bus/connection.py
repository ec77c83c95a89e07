"""The Redis client, set up so that it never retries a write, never hangs and never loses a cancellation."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha1
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ibstream.bus.line import Command, Line
from ibstream.runtime import metrics
from ibstream.runtime.errors import ConfigurationError, IbstreamError, RecoverableError

DEADLINE_S = 5.0
"""How long one command may take, waiting for a free connection included."""

FSYNC_TIMEOUT_S = 3.0
"""How long a write may take to reach the disk; a server that syncs every second takes up to one."""

CONNECT_TIMEOUT_S = 2.0
COMMAND_CONNECTIONS = 16
"""Commands in flight at once; more wait for a free connection instead of failing (redis-py's plain pool raises)."""

_NOT_NOW = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    MasterDownError,
    ClusterDownError,
    TryAgainError,
    OutOfMemoryError,
    TimeoutError,
    OSError,
)

_NOT_NOW_CODE = re.compile(r"(^|caused error: \(['\"])(MISCONF|NOREPLICAS|BUSY|OOM) |not allowed when used memory")
"""Refusals that redis-py has no class for and that pass: the disk or the memory is full, replicas are away, a script
runs too long."""


class BusUnavailable(RecoverableError):  # noqa: N818 - it is a state of the world, not a fault of the caller
    """Redis does not answer or cannot serve now. A write may or may not have happened: its caller must be able to tell."""


class BusRefused(IbstreamError):  # noqa: N818
    """Redis understood the command and refused it: wrong type, no permission."""


class Bus:
    """One server. Commands share a bounded pool; every blocking reader has a connection of its own.

    The client's settings, and why:

    - `retry` none: redis-py's default of ten silent retries wrote an XADD twice when a reply was lost.
    - `socket_timeout` none, a deadline of ours around each call: with a socket timeout redis-py uses `wait_for`, which on
      Python 3.11 swallows a cancellation (51 of 200 in a test); without, none was lost.
    - blocking pool: the plain one raises as soon as all connections are busy.
    - `protocol` 2 with `legacy_responses`: one known reply shape, `[[stream, [(id, fields)]]]`, whatever the server.
    - keepalive on: a half-open connection is found by the operating system even while nothing is asked.
    """

    def __init__(self, url: str, *, client_name: str) -> None:
        """Nothing is sent yet. Raises `ConfigurationError` for a URL that cannot be used, without showing it."""
        self._client_name = client_name
        self._kwargs: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "client_name": client_name,
            "protocol": 2,
            "legacy_responses": True,
            "decode_responses": False,
        }
        if not url.startswith("unix:"):  # which has none
            self._kwargs["socket_keepalive"] = True
        self._url = url
        self.address = _address(url, self._kwargs)
        """The server's host and port, without its password."""
        self._redis = self._client(COMMAND_CONNECTIONS)
        self._line = Line(self._redis.connection_pool.make_connection)

    def _client(self, connections: int) -> Redis:
        pool = BlockingConnectionPool.from_url(
            self._url, max_connections=connections, timeout=DEADLINE_S, **self._kwargs
        )
        return Redis(connection_pool=pool)

    def reader(self) -> Bus:
        """The same server through connections of its own: for calls that block, or that may not wait behind another's.

        Close it when done.
        """
        reader = Bus(self._url, client_name=f"{self._client_name}-reader")
        reader._redis = reader._client(1)
        return reader

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._line.close()
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    @property
    def redis(self) -> Redis:
        """The client, for the modules of this package."""
        return self._redis

    async def call(self, command: Any, *, deadline_s: float = DEADLINE_S) -> Any:
        """Await a redis-py command within a deadline, and turn its failure into one of ours.

        Raises `BusUnavailable` where another try may help, `BusRefused` where the command itself was refused, and
        `ConfigurationError` where the password is wrong.
        """
        try:
            async with asyncio.timeout(deadline_s):
                return await command
        except (RedisError, TimeoutError, OSError) as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> IbstreamError:
        """What `call` raises for an error of redis-py or of the system."""
        told = f"Redis at {self.address}: {error or type(error).__name__}"
        if isinstance(error, AuthenticationError):
            return ConfigurationError(f"Redis at {self.address} refused the credentials: {error}")
        if isinstance(error, ResponseError) and not isinstance(error, _NOT_NOW):
            return BusUnavailable(told) if _NOT_NOW_CODE.search(str(error)) else BusRefused(told)
        metrics.BUS_FAILURES.labels(self._client_name).inc()
        return BusUnavailable(told)

    async def ask(self, *command: str | bytes | int, deadline_s: float = DEADLINE_S) -> Any:
        """The answer to a command as the server gives it, over a connection of its own; raise as `call` does.

        For what is asked again and again and has to be quick: redis-py's way there and back costs as much as the network's.
        """
        return (await self.call(self._line.ask(command), deadline_s=deadline_s))[0]

    async def ping(self) -> None:
        """Return if the server answers; else raise as `call` does."""
        await self.call(self._redis.ping())

    async def get(self, key: str) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = await self.call(self._redis.get(key))
        return value

    async def put(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        """Set a key's value, to expire after `ttl_s` seconds if given."""
        await self.call(self._redis.set(key, value, px=round(ttl_s * 1000) if ttl_s is not None else None))

    async def delete(self, *keys: str) -> None:
        """Remove keys, whether they exist or not."""
        await self.call(self._redis.delete(*keys))

    async def hash(self, key: str) -> dict[bytes, bytes]:
        """All fields of a hash; empty where there is none."""
        fields: dict[bytes, bytes] = await self.call(self._redis.hgetall(key))
        return fields

    async def field_of_each(self, keys: Sequence[str], name: str) -> list[bytes | None]:
        """The value of one field of each of these hashes, in one round trip; None where there is none."""
        if not keys:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.hget(key, name)
        values: list[bytes | None] = await self.call(pipeline.execute())
        return values

    async def fields(self, wanted: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The values of these fields, each given by its hash and its name, in one round trip; None where there is none."""
        if not wanted:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for key, name in wanted:
            pipeline.hget(key, name)
        values: list[bytes | None] = await self.call(pipeline.execute())
        return values

    async def set_fields(self, key: str, fields: Mapping[str, bytes]) -> None:
        """Set fields of a hash."""
        if fields:
            mapping: dict[Any, Any] = dict(fields)
            await self.call(self._redis.hset(key, mapping=mapping))

    async def members(self, key: str) -> set[bytes]:
        """The members of a set."""
        found: set[bytes] = await self.call(self._redis.smembers(key))
        return found

    async def values_matching(self, pattern: str) -> dict[str, bytes]:
        """Every string key that matches a glob pattern, with its value. SCAN, so it never stalls the server."""
        keys: list[bytes] = []
        cursor = 0
        while True:
            cursor, found = await self.call(self._redis.scan(cursor, match=pattern, count=1000))
            keys.extend(found)
            if cursor == 0:
                break
        if not keys:
            return {}
        values = await self.call(self._redis.mget(keys))
        return {key.decode(): value for key, value in zip(keys, values, strict=True) if value is not None}

    async def run_script(self, script: str, keys: list[str], arguments: Sequence[str | bytes | int]) -> Any:
        """Run a Lua script atomically; raise as `call` does. It is sent once, and called by its digest after that."""
        return (await self._run_loaded(script, keys, arguments))[0]

    async def run_script_durably(self, script: str, keys: list[str], arguments: Sequence[str | bytes | int]) -> Any:
        """As `run_script`, and return only when what it wrote is on the server's disk (WAITAOF).

        Raises `BusUnavailable` when it is not known to be there; whether it was written is then for the caller to find out.
        WAITAOF waits for the writes of its own connection, which need not be that of an earlier try: a script that finds its
        work done must write something, or it is told of nothing to wait for. Only for servers of which `is_durable` is true.
        """

        on_disk = ("WAITAOF", 1, 0, round(FSYNC_TIMEOUT_S * 1000))
        done, (is_on_disk, _) = await self._run_loaded(script, keys, arguments, on_disk)
        if not is_on_disk:
            metrics.BUS_FAILURES.labels(self._client_name).inc()
            raise BusUnavailable(f"Redis at {self.address}: not on disk within {FSYNC_TIMEOUT_S:g} s")
        return done

    async def is_durable(self) -> bool:
        """Whether the server can say that a write is on its disk: WAITAOF (Redis 7.2), and an append-only file."""
        try:
            await self.call(self._redis.execute_command("WAITAOF", 1, 0, 1))  # type: ignore[no-untyped-call]
        except BusRefused:
            return False
        return True

    async def _run_loaded(
        self, script: str, keys: list[str], arguments: Sequence[str | bytes | int], *then: Command
    ) -> list[Any]:
        evalsha = ("EVALSHA", _digest(script), len(keys), *keys, *arguments)
        try:
            return cast("list[Any]", await self.call(self._line.ask(evalsha, *then)))
        except BusRefused as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        await self.call(self._line.ask(("SCRIPT", "LOAD", script)))
        return cast("list[Any]", await self.call(self._line.ask(evalsha, *then)))


@cache
def _digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def _address(url: str, fixed: Mapping[str, Any]) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        overridden = sorted(parse_qs(parts.query).keys() & {*fixed, "max_connections", "timeout"})
        parse_url(url)
    except ValueError:  # its text can hold a part of the password
        raise ConfigurationError(
            "the Redis URL (SA_REDIS__URL or SA_REDIS__QUOTES_URL) cannot be read; it must look like "
            "redis://user:password@host:port/0 (rediss:// for TLS), with / @ : # ? in the password percent-encoded"
        ) from None
    if overridden:
        raise ConfigurationError(
            f"the Redis URL for {parts.hostname} sets {', '.join(overridden)}, which ibstream must choose itself so that "
            "no write is ever repeated; remove it from SA_REDIS__URL or SA_REDIS__QUOTES_URL"
        )
    return f"{parts.hostname}:{port}" if parts.hostname else parts.path
