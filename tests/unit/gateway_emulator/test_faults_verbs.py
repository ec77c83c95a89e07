"""The closed list of verbs: what can be commanded, how errors read, and that every verb is tested on the wire."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import msgspec
import pytest

from ibstream_gateway_emulator.control import rendering, verb_methods
from ibstream_gateway_emulator.faults import verbs

CONTRACT = Path(__file__).parents[2] / "contract"
REQUIRED: dict[str, dict[str, object]] = {"delay": {"ms": 5}, "correct_execution": {"exec_id": "0.0.01.01"}}
"""Fields without a default."""


def shown_on_the_wire() -> list[str]:
    files = sorted(CONTRACT.glob("test_emulator_faults_*.py"))
    nodes = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


@pytest.mark.parametrize("name", verbs.VERBS)
def test_every_verb_has_a_test_on_the_wire(name: str) -> None:
    assert [one for one in shown_on_the_wire() if one.startswith(f"test_{name}_")], f"no test shows {name}"


@pytest.mark.parametrize("name", verbs.VERBS)
def test_every_verb_survives_json(name: str) -> None:
    verb = verbs.from_builtins({"verb": name, **REQUIRED.get(name, {})})
    assert verbs.decode(msgspec.json.encode(verb)) == [verb]
    assert verb.name == name


@pytest.mark.parametrize("name", verbs.VERBS)
def test_every_verb_says_what_it_does_and_lasts_or_happens(name: str) -> None:
    verb = verbs.VERBS[name]
    assert verb.__doc__
    assert issubclass(verb, verbs.State) != issubclass(verb, verbs.Event)


def test_the_methods_are_those_that_the_verbs_give() -> None:
    """After a change: python -m ibstream_gateway_emulator.control.rendering > control/verb_methods.py."""
    assert inspect.getsource(verb_methods) == rendering.render()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "no JSON"),
        (b"7", "a verb is a mapping"),
        (b'{"verb": "dance"}', "no verb 'dance'; known are accept_silently"),
        (b'{"ms": 1}', "no verb None"),
        (b'{"verb": "delay"}', "missing required field `ms`"),
        (b'{"verb": "delay", "ms": -1}', "ms"),
        (b'{"verb": "delay", "ms": 1, "secs": 2}', "unknown field `secs`; it takes for_s, ms"),
        (b'{"verb": "cancel_error", "code": 1}', "code"),
        (b'{"verb": "nightly_restart", "at": "24:00"}', "no time of day"),
        (b'{"verb": "nightly_restart", "time_zone": "Mars/Olympus"}', "no time zone"),
        (b'{"verb": "clear", "fault": "fill"}', "nothing that lasts"),
        (b"[" + b",".join([b'{"verb": "freeze"}'] * 1_001) + b"]", "allowed are 1000"),
    ],
)
def test_what_is_no_verb_is_told_with_what_there_is(body: bytes, said: str) -> None:
    with pytest.raises(verbs.VerbError, match=said.replace("[", r"\[")):
        verbs.decode(body)
