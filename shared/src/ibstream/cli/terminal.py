"""How a command talks and ends: results on standard output, talk on standard error, failures in one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import typer

from ibstream.runtime.errors import FatalError, IbstreamError

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
"""128 and the number of the signal, as a shell reports it."""

_START_HINT = "start it with `ibstream up`, or set SA_REDIS__URL"


def say(text: str) -> None:
    """Talk, on standard error."""
    typer.echo(text, err=True)


def result(text: str) -> None:
    """A result, on standard output, at once."""
    typer.echo(text)
    sys.stdout.flush()


def told_in_one_line(app: Callable[[], object]) -> int:
    """Call `app`; turn our own errors into one line on standard error and the exit status that fits, never a traceback."""
    try:
        app()
    except IbstreamError as error:
        return complain(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def complain(error: IbstreamError) -> int:
    """Say what went wrong and what to do, and return the exit status: 78 for a wrong setting, else 1."""
    say(f"ibstream: {explain(error)}")
    return error.exit_status if isinstance(error, FatalError) else EXIT_FAILURE


def explain(error: IbstreamError) -> str:
    """The error's text, with what to do where it does not say so itself."""
    from ibstream.bus import BusUnavailable

    text = str(error)
    return f"{text.rstrip('.')}; {_START_HINT}" if isinstance(error, BusUnavailable) else text


def run_command(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], *, grace_s: float) -> int:
    """Run a long-lived command until it ends or a signal stops it; return its exit status.

    `main(stop)` returns the status; its errors are told in one line. Bounded by `grace_s` after a signal, as
    `run_until_signalled` says.
    """
    from ibstream.runtime.signals import run_until_signalled
    from ibstream.runtime.supervise import root_cause

    told: list[int] = []

    async def telling(stop: asyncio.Event) -> None:
        try:
            told.append(await main(stop))
        except (IbstreamError, BaseExceptionGroup) as error:
            cause = root_cause(error)
            if not isinstance(cause, IbstreamError):
                raise
            told.append(complain(cause))

    status = run_until_signalled(telling, grace_s=grace_s)
    return told[0] if told else status


def quiet_logs() -> None:
    """Warnings and errors of the libraries go to standard error; nothing ever to standard output."""
    from ibstream.runtime.logging import configure_logging

    configure_logging("ibstream", level="warning")
