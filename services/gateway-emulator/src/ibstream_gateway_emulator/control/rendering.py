"""Writes `verb_methods`: one method per verb, with the verb's own fields, types, defaults and words.

python -m ibstream_gateway_emulator.control.rendering > .../control/verb_methods.py
"""

from __future__ import annotations

import textwrap

from ibstream_gateway_emulator.control.fields import Field, fields_of
from ibstream_gateway_emulator.faults import verbs

_HEAD = '''"""One method per verb. Written by `control.rendering` from the verbs themselves; a test keeps the two in step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Literal

from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.faults.verb import (
    ClientId,
    Copies,
    Count,
    Milliseconds,
    NotNegative,
    PieceBytes,
    Port,
    Seconds,
)
from ibstream_gateway_emulator.faults.verbs_link import Farm


class VerbMethods(ABC):
    """The verbs as methods. What they mean, field by field, is told in `faults.verbs`."""

    @abstractmethod
    async def command(self, *commanded: verbs.Verb) -> None:
        """Do these verbs, in order. Raises `CommandError` at the first that cannot be done."""
'''
_LAST = "for_s"
"""The field that all states have is given last."""


def render() -> str:
    """The text of the module."""
    return _HEAD + "".join(_method(name, verb) for name, verb in verbs.VERBS.items())


def _method(name: str, verb: type[verbs.Verb]) -> str:
    fields = sorted(fields_of(verb), key=lambda field: field.name == _LAST)
    arguments = "".join(f"    {_argument(field)},\n" for field in fields)
    values = "".join(f"            {field.name}={field.name},\n" for field in fields)
    words = (verb.__doc__ or "").strip().split("\n")[0]
    text = (
        f"\nasync def {name}(\n    self,\n    *,\n{arguments}) -> None:\n"
        f'    """{words}"""\n'
        f"    await self.command(\n        verbs.{verb.__name__}(\n{values}        )\n    )\n"
    )
    return textwrap.indent(text, "    ", lambda line: bool(line.strip()))


def _argument(field: Field) -> str:
    return f"{field.name}: {field.type}" + ("" if field.default is None else f" = {field.default}")


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201 - that is what it is run for
