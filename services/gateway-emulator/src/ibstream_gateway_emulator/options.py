"""What the command line says, as settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

from ibstream.runtime.errors import ConfigurationError
from ibstream_gateway_emulator.domain.checking import NotAllowedError, converted
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.settings import EmulatorSettings

_LIFTED = ("none", "off")
_DIGITS_MAX = 9
_SWITCH = "historical_pacing"
"""The only limit that is no number."""


def settings_of(options: dict[str, Any]) -> EmulatorSettings:
    """The settings that the options of the command give, by their names; `extra` overrides the others.

    Raises `ConfigurationError` for what is not allowed.
    """
    numbers = {name: options[name] for name in Limits.__struct_fields__ if name != _SWITCH}
    limits = limits_of(numbers, lifted=options["no_limits"], pacing=options[_SWITCH])
    named = {name: options[name] for name in EmulatorSettings.__struct_fields__ if name in options}
    return with_extras(EmulatorSettings(**named, limits=limits), options["extra"] or ())


def limits_of(given: dict[str, str | None], *, lifted: bool, pacing: bool) -> Limits:
    """The limits: IBKR's or, if `lifted`, none; each that is `given` as a number or `none` in its place.

    Raises `ConfigurationError` for what is neither.
    """
    limits = Limits.lifted() if lifted else msgspec.structs.replace(Limits(), historical_pacing=pacing)
    chosen = {name: _limit(name, text) for name, text in given.items() if text is not None}
    return msgspec.structs.replace(limits, **chosen)


def with_extras(settings: EmulatorSettings, assignments: Iterable[str]) -> EmulatorSettings:
    """The settings with `name=value` in their places, values in YAML. Raises `ConfigurationError`."""
    annotations = {field.name: field.type for field in msgspec.structs.fields(EmulatorSettings)}
    chosen: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in annotations:
            raise ConfigurationError(f"--set {assignment}: write NAME=VALUE; names are {', '.join(annotations)}")
        try:
            chosen[name] = converted(yaml.safe_load(text), annotations[name], strict=False)
        except (yaml.YAMLError, NotAllowedError, ConfigurationError) as error:
            raise ConfigurationError(f"--set {assignment}: {' '.join(str(error).split())}") from error
    return msgspec.structs.replace(settings, **chosen)


def _limit(name: str, text: str) -> int | None:
    if text.lower() in _LIFTED:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise ConfigurationError(f"--{name.replace('_', '-')} {text}: give a number, or none to lift the limit")
    return int(text)
