"""A connection of one's own for commands whose caller waits for each answer: nothing is taken from a pool or given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.connection import HiredisRespSerializer
from redis.exceptions import RedisError, ResponseError

Command = Sequence[str | bytes | int]

_packer: Any = HiredisRespSerializer()
"""A sixth of the time of the one that redis-py's asynchronous connections use."""


def packed(*commands: Command) -> bytes:
    """Commands as they go over the wire."""
    return b"".join([part for command in commands for part in _packer.pack(*command)])


class Line:
    """Sends commands, several at once, and returns what the server answers. One caller at a time; others wait their turn.

    It is for the two calls that every order waits for, its read and its write: redis-py's way over the pool, with its locks,
    checks and callbacks, took longer than the server. After anything but a whole answer the connection is closed, so that no
    answer can ever be taken for another command's; the next caller makes it anew. Nothing is sent twice.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` makes a redis-py connection; it is called once."""
        self._make = make
        self._connection: Any = None
        self._turn = asyncio.Lock()

    async def ask(self, *commands: Command) -> list[Any]:
        """The answers, in order; raises the first that is an error, once all are read, as redis-py would."""
        async with self._turn:
            answers = await self._ask(commands)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.disconnect()

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        if self._connection is None:
            self._connection = self._make()
        connection = self._connection
        try:
            if not connection.is_connected or await _is_spoilt(connection):
                await connection.disconnect(nowait=True)
                await connection.connect()
            await connection.send_packed_command(packed(*commands), check_health=False)
            return [await _answer(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise


async def _is_spoilt(connection: Any) -> bool:
    """Whether the server has closed it, or said what nobody asked for."""
    try:
        return bool(await connection.can_read())
    except (RedisError, OSError):
        return True


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
