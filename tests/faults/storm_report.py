"""What storms were, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from faults.storm import Report
from faults.storm_truth import stories

from ibstream.contracts.base import type_of
from ibstream.contracts.orders import OrderStatus, OrderStatusChanged, Reason, RequestRefused


def summary(report: Report) -> str:
    """One storm, a line for each kind of figure."""
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    lines = [f"seed {report.plan.seed}: {took}", *(f"  {name}: {_shown(one)}" for name, one in figures(report).items())]
    return "\n".join(lines)


def table(reports: Sequence[Report]) -> str:
    """All storms together."""
    lines = [f"  {name}: {_shown(one)}" for name, one in totals(reports).items()]
    return "\n".join([f"total of {len(reports)} storms:", *lines])


def totals(reports: Sequence[Report]) -> dict[str, Counter[str]]:
    """The figures of all storms, added up."""
    total: dict[str, Counter[str]] = {}
    for report in reports:
        for name, counted in figures(report).items():
            total.setdefault(name, Counter()).update(counted)
    return total


def figures(report: Report) -> dict[str, Counter[str]]:
    """Everything that is counted."""
    evidence = report.evidence
    told = stories(evidence)
    outcomes = Counter(f"{one.status}{one.reason and f' ({one.reason})'}" for s in told.values() for one in s.outcomes)
    unknown = sum(
        isinstance(event, OrderStatusChanged) and event.status is OrderStatus.UNKNOWN for event in evidence.events
    )
    duplicate = sum(isinstance(event, RequestRefused) and event.reason is Reason.DUPLICATE for event in evidence.events)
    on_the_way = {"unknown on the way": unknown, "refused as duplicates": duplicate}
    ours = [row for row in evidence.orders if row.client_id == evidence.broker]
    return {
        "requests": Counter(type_of(message).split(".")[1] for _, message in evidence.requests),
        "orders": Counter({"asked for": len(told), **on_the_way, **report.counts}),
        "at the Gateway": Counter(f"{row.outcome}{' change' if row.is_change else ''}" for row in ours),
        "lost by": Counter(row.text for row in ours if row.outcome == "lost"),
        "not acknowledged": Counter({"all": sum(not row.acknowledged for row in ours)}),
        "rejected with": Counter(str(row.code) for row in ours if row.outcome == "rejected"),
        "corrected": Counter({"all": sum(bool(row.replaces) for row in evidence.executions)}),
        "outcomes": outcomes,
        "events": Counter(type_of(event).split(".")[1] for event in evidence.events),
        "deaths": report.deaths,
        "disturbances": report.disturbed,
        "complaints": Counter({"all": len(report.complaints)}),
    }


def _shown(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items(), key=lambda one: (-one[1], one[0])))
