"""Options of the fault tests. They are known where a path is given: `pytest tests/faults --storm-seeds 21-60`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which storms rage, and how large they are."""
    group = parser.getgroup("storms")
    group.addoption("--storm-seeds", metavar="FIRST-LAST", help="the seeds of the order storms (default 1-20)")
    group.addoption(
        "--storm-orders", metavar="N", type=int, help="orders asked for in each storm, N as given (default 200)"
    )
