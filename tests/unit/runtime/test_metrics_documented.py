"""Whoever looks after the system finds every figure explained, and no figure explained that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from ibstream.runtime import metrics

OPERATIONS = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


def exported() -> set[str]:
    """The name of every metric as Prometheus shows it."""
    found = [one for one in vars(metrics).values() if isinstance(one, Counter | Gauge | Histogram)]
    names = {metric.name: isinstance(one, Counter) for one in found for metric in one.describe()}
    return {f"{name}_total" if is_counter else name for name, is_counter in names.items()}


def test_every_metric_stands_in_the_table_of_figures() -> None:
    """docs/operations.md names all that `ibstream.runtime.metrics` exports, and nothing else."""
    _, _, rest = OPERATIONS.read_text(encoding="utf-8").partition("\n## Figures\n")
    rows = [line.split(" | ")[0] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `ibstream_")]
    named = set(re.findall(r"`(ibstream_[a-z_]+)", "\n".join(rows)))
    assert named == exported()
