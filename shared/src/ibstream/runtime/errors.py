"""The tree of failures. Whether one is worth another try is decided here, by type, and nowhere else.

IbstreamError
├── RecoverableError        try again later; the world may have changed
│   ├── bus.BusUnavailable
│   └── ibkr.GatewayUnavailable
└── FatalError              trying again changes nothing; the process ends with `exit_status`
    └── ConfigurationError  a setting is wrong; the message names it
"""

from __future__ import annotations

EXIT_SOFTWARE = 70
"""Exit status after a failure nobody foresaw (sysexits.h EX_SOFTWARE)."""

EXIT_CONFIGURATION = 78
"""Exit status when a setting must be changed first (sysexits.h EX_CONFIG)."""


class IbstreamError(Exception):
    """Root of every error that this project raises on purpose."""


class RecoverableError(IbstreamError):
    """The operation failed for now. A supervisor waits and tries again."""


class FatalError(IbstreamError):
    """The process cannot do its work and trying again would not help."""

    exit_status = EXIT_SOFTWARE


class ConfigurationError(FatalError):
    """A setting is missing, unknown, malformed or contradicts another. The message says which and what to do."""

    exit_status = EXIT_CONFIGURATION
