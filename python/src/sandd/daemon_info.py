# SPDX-License-Identifier: MIT
"""What is known of a daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Union


@dataclass(frozen=True, eq=False)
class DaemonInfo:
    """A daemon as it was when it was asked for. It is equal to its id, hashed as it, and taken wherever an id is."""

    id: str
    #: Name and version of its program ("sandd 0.1.0").
    version: str = ""
    #: "linux", "macos", "windows".
    platform: str = ""
    arch: str = ""
    release: str = ""
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: New at each start of its program.
    instance: str = ""
    #: Where it dialled from: "10.0.0.7:51234".
    address: str = ""
    #: Commands that run on it for this server.
    busy: int = 0
    #: Seconds since 1970.
    connected_since: float = 0.0
    last_seen: float = 0.0
    #: Seconds, of the newest heartbeat; None before the first.
    round_trip: float | None = None
    #: What it can do, and for what it can't, why.
    capabilities: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_busy(self) -> bool:
        """True while a command runs on it."""
        return self.busy > 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DaemonInfo):
            return self.id == other.id
        if isinstance(other, str):
            return self.id == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id


DaemonId = Union[str, DaemonInfo]


def id_of(daemon: DaemonId) -> str:
    """The id of what was given for a daemon."""
    if isinstance(daemon, DaemonInfo):
        return daemon.id
    if isinstance(daemon, str):
        return daemon
    raise TypeError(f"a daemon is given as a str or a DaemonInfo, not {type(daemon).__name__}")
