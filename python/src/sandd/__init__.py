# SPDX-License-Identifier: MIT
"""Run commands on machines that dial in to you, as if they were local.

with sandd.Server(port=8765) as server:
    server.wait_for_daemon("worker-1")
    print(server.exec("worker-1", "uname -a").stdout)
"""

from __future__ import annotations

from . import _status, errors
from ._lib import library_version
from ._requests import DEVNULL, PIPE, STDOUT
from ._status import *  # noqa: F403
from .daemon_info import DaemonInfo
from .errors import *  # noqa: F403
from .process import Process
from .result import CommandResult
from .server import TLS, Server, ServerStats

__version__: str = library_version()

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "TLS",
    "CommandResult",
    "DaemonInfo",
    "Process",
    "Server",
    "ServerStats",
]
__all__ += _status.__all__
__all__ += errors.__all__
