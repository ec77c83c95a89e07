"""How every service process begins: settings, logging, signals."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.settings import Settings, load_settings
from ibstream.runtime.signals import run_until_signalled


def run_service(name: str, serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Run `serve(settings, stop)` as the process `name` and return the exit status.

    Settings that cannot be used are told on standard error in plain words, with status 78: no log, because how to log is a
    setting too.
    """
    try:
        settings = load_settings()
    except ConfigurationError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_status
    configure_logging(name, level=settings.logging.level, format=settings.logging.format)
    return run_until_signalled(lambda stop: serve(settings, stop))
