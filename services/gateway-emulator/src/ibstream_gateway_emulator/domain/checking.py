"""Settings are held against their types and bounds wherever they come from: a file, the command line, or Python.

A bound stands in the annotation of its field, as `msgspec.Meta`; `check` is called by each struct of settings when it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from ibstream.runtime.errors import ConfigurationError


class NotAllowedError(Exception):
    """A value that a setting cannot have. The text says what is allowed."""


def check(settings: msgspec.Struct) -> None:
    """Raises `ConfigurationError` that names the first field whose value is not allowed, and says what is."""
    for field in msgspec.structs.fields(settings):
        given = getattr(settings, field.name)
        try:
            converted(given, field.type)
        except NotAllowedError as error:
            raise ConfigurationError(f"{field.name} cannot be {given!r}: {error}") from None


def converted(given: Any, annotation: Any, *, strict: bool = True) -> Any:
    """The value as its annotation has it; unless `strict`, numbers may be given as text. Raises `NotAllowedError`."""
    try:
        return msgspec.convert(given, annotation, strict=strict)
    except msgspec.ValidationError as error:
        choices = ", ".join(map(str, _choices(annotation)))
        reason = " ".join(str(error).split())
        raise NotAllowedError(f"{reason} (allowed are {choices})" if "enum" in reason else reason) from None


def _choices(annotation: Any) -> Iterator[object]:
    """All that the literals in an annotation name."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for part in get_args(annotation):
        yield from _choices(part)
