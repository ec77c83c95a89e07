"""Who may reach a port that knows no passwords."""

from __future__ import annotations

import ipaddress

from ibstream.runtime.errors import ConfigurationError


def refuse_remote(host: str) -> None:
    """Raise `ConfigurationError` for an address that others can reach: the API knows no passwords."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ConfigurationError(f"{host} can be reached from other machines; give --allow-remote if that is meant")
