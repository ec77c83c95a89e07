"""Structured logs on standard error: one JSON object a line for machines, aligned columns for people."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["auto", "json", "console"]

_NOISY_LIBRARIES = ("ib_async", "asyncio", "uvicorn.access")


def configure_logging(service: str, *, level: str = "info", format: LogFormat = "auto") -> None:  # noqa: A002
    """Send every log record of this process, libraries included, to standard error.

    `service` stands in every record. `level` is one of debug, info, warning, error, critical. Format `auto` is `console`
    on a terminal and `json` elsewhere. Times are UTC, ISO 8601.
    """
    as_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_service(service),
    ]
    _configure_structlog(shared, level)
    _configure_stdlib(shared, _renderers(as_json), level)


def _name_service(service: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("service", service)
        return event

    return add


def _renderers(as_json: bool) -> list[structlog.typing.Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _configure_structlog(shared: list[structlog.typing.Processor], level: str) -> None:
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _configure_stdlib(
    shared: list[structlog.typing.Processor], renderers: list[structlog.typing.Processor], level: str
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _NOISY_LIBRARIES:
        # ib_async logs every message of a session at info; what matters of it we log ourselves.
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "ib_async" else logging.WARNING)
