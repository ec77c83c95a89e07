"""The listening socket: opened, closed and opened again on the same port, which nobody else can take meanwhile."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from ibstream.runtime.errors import FatalError


class CannotListenError(FatalError):
    """The address cannot be listened on. The message says which and why."""

    exit_status = 1


class Listener:
    """Accepts connections on one address while it is open. Closed, connecting is refused, and the port stays ours."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        self._factory = factory
        self._host = host
        self.port = port
        """Once opened the port listened on, even where 0 was asked for."""
        self._servers: list[asyncio.Server] = []
        self._reserved: list[socket.socket] = []

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return bool(self._servers)

    async def open(self) -> None:
        """Listen; does nothing if it listens already. Raises `CannotListenError` if the address is not to be had."""
        if self._servers:
            return
        loop = asyncio.get_running_loop()
        reserved, self._reserved = self._reserved, []
        try:
            if reserved:
                self._servers = [await loop.create_server(self._factory, sock=one) for one in reserved]
            else:
                self._servers = [await loop.create_server(self._factory, self._host, self.port)]
        except OSError as error:
            raise CannotListenError(_why(error, self._host, self.port)) from error
        self.port = int(self._servers[0].sockets[0].getsockname()[1])

    def close(self, *, keeps_port: bool) -> None:
        """Refuse connections from now on; with the port kept, nobody else can listen on it meanwhile."""
        addresses = [(one.family, one.getsockname()) for server in self._servers for one in server.sockets]
        for server in self._servers:
            server.close()
        self._servers = []
        if keeps_port:
            self._reserved += [_reserved(family, address) for family, address in addresses]
            return
        for one in self._reserved:
            one.close()
        self._reserved = []

    def move(self, port: int) -> None:
        """Leave the port for another one, 0 for any free one, which is taken at once and listened on with `open`.

        Raises `CannotListenError` if it is not to be had; then nothing has changed.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            fresh = _reserved(family, (self._host, port))
        except OSError as error:
            raise CannotListenError(_why(error, self._host, port)) from error
        self.close(keeps_port=False)
        self._reserved = [fresh]
        self.port = int(fresh.getsockname()[1])


def _reserved(family: int, address: tuple[object, ...]) -> socket.socket:
    """A socket that is bound and does not listen: the kernel refuses who connects, and gives the port to nobody else."""
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def reason_of(error: OSError) -> str:
    """Why an address cannot be had, in words."""
    return "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)


def _why(error: OSError, host: str, port: int) -> str:
    return f"cannot listen on {host}:{port}: {reason_of(error)}"
