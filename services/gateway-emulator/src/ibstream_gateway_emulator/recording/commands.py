"""The commands `record` and `replay`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.signals import run_until_signalled
from ibstream_gateway_emulator.loopback import refuse_remote
from ibstream_gateway_emulator.protocol.fields import id_of
from ibstream_gateway_emulator.protocol.handshake import SERVER_VERSION_MAX
from ibstream_gateway_emulator.recording.proxy import RecorderSettings
from ibstream_gateway_emulator.recording.proxy import record as record_until
from ibstream_gateway_emulator.recording.stage import StageSettings
from ibstream_gateway_emulator.recording.stage import replay as replay_until

_PORTS = range(1, 65_536)
_VERSION_MIN = 100
"""Where the protocol with a hello begins."""

LogFormat = Literal["auto", "json", "console"]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Remote = Annotated[bool, typer.Option(help="Listen on an address others can reach, as in a container.")]
Level = Annotated[str, typer.Option(help="debug, info, warning, error or critical.")]
Format = Annotated[LogFormat, typer.Option(help="Console on a terminal and JSON elsewhere by default.")]


def record(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    upstream: Annotated[str, typer.Option(help="The Gateway to record, as host:port.")],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for the clients; 0 takes any free one.")] = 0,
    max_version: Annotated[
        str,
        typer.Option(
            metavar="N|none",
            help="Rewrite the clients' hello so that no higher version is spoken; none leaves it alone. "
            "What is spoken above 200 cannot be masked and is left out.",
        ),
    ] = str(SERVER_VERSION_MAX),
    allow_remote: Remote = False,
    log_level: Level = "info",
    log_format: Format = "auto",
) -> None:
    """Stand between clients and a real Gateway and write down what they say, account numbers masked."""
    configure_logging("gateway-recorder", level=log_level, format=log_format)

    async def run(stop: asyncio.Event) -> None:
        if not allow_remote:
            refuse_remote(host)
        upstream_host, upstream_port = split_address(upstream)
        settings = RecorderSettings(
            upstream_host=upstream_host,
            upstream_port=upstream_port,
            path=file,
            host=host,
            port=port,
            version_max=version_limit(max_version),
        )
        await record_until(stop, settings)

    raise typer.Exit(run_until_signalled(run))


def replay(
    file: Annotated[Path, typer.Argument(help="A file that `record` wrote.")],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 4002,
    speed: Annotated[
        float, typer.Option(min=0, help="2 replays in half the time; 0 or inf as fast as the client reads.")
    ] = 1.0,
    allow_remote: Remote = False,
    log_level: Level = "info",
    log_format: Format = "auto",
) -> None:
    """Serve a recording to clients, as if it happened now."""
    configure_logging("gateway-replay", level=log_level, format=log_format)

    async def run(stop: asyncio.Event) -> None:
        if not allow_remote:
            refuse_remote(host)
        await replay_until(stop, StageSettings(path=file, host=host, port=port, speed=speed))

    raise typer.Exit(run_until_signalled(run))


def version_limit(text: str) -> int | None:
    """What `--max-version` says; None for `none`. Raises `ConfigurationError` for what no client can be kept to."""
    if text.lower() == "none":
        return None
    version = id_of(text)
    if version is None or version < _VERSION_MIN:
        raise ConfigurationError(f"--max-version {text!r} is neither a version from {_VERSION_MIN} on nor none")
    return version


def split_address(text: str) -> tuple[str, int]:
    """`host:port`, an IPv6 address in brackets. Raises `ConfigurationError` for anything else."""
    host, _, port = text.rpartition(":")
    if not host or id_of(port) not in _PORTS:
        raise ConfigurationError(f"--upstream {text!r} is not host:port, as in 127.0.0.1:4002")
    return host.removeprefix("[").removesuffix("]"), int(port)
