# SPDX-License-Identifier: MIT
"""The thread of a Server that hands log lines to logging and daemon events to callbacks."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Any

from ._ffi import ffi, lib
from ._lib import error_of, text_of

logger = logging.getLogger("sandd")
logger.addHandler(logging.NullHandler())

_LEVELS = {
    lib.SANDD_LOG_ERROR: logging.ERROR,
    lib.SANDD_LOG_WARNING: logging.WARNING,
    lib.SANDD_LOG_INFO: logging.INFO,
    lib.SANDD_LOG_DEBUG: logging.DEBUG,
    lib.SANDD_LOG_TRACE: logging.DEBUG - 5,
}
_LINE = 4096
# A callback that never returns must not hold close() for ever.
_PATIENCE = 5.0


class Dispatcher:
    """It knows the server's handle, not the Server: `tell` looks that up by a weak reference."""

    def __init__(self, handle: Any, tell: Callable[[int, str], None]) -> None:
        self._handle = handle
        self._tell = tell
        self._log_fd = self._descriptor(lib.sandd_server_log_fd(handle))
        self._events_fd = self._descriptor(lib.sandd_server_events_fd(handle))
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="sandd-dispatch", daemon=True)
        self._thread.start()

    @staticmethod
    def _descriptor(value: int) -> int:
        if value < 0:
            raise error_of(value)
        return value

    def stop(self) -> None:
        """Ends the thread, when it has told what there was, and waits for it; not when it is itself that calls."""
        os.close(self._wake_write)
        if threading.current_thread() is not self._thread:
            self._thread.join(_PATIENCE)

    def forget(self) -> None:
        """After a fork, in the child, where the thread is not."""
        for descriptor in (self._wake_read, self._wake_write):
            os.close(descriptor)

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (self._log_fd, self._events_fd, self._wake_read):
            poll.register(descriptor, select.POLLIN)
        text = ffi.new("char[]", _LINE)
        event = ffi.new("sandd_daemon_event *")
        event.size = ffi.sizeof("sandd_daemon_event")
        try:
            while True:
                ready = {descriptor for descriptor, _ in poll.poll()}
                if self._log_fd in ready and not self._drain_log(text):
                    poll.unregister(self._log_fd)
                if self._events_fd in ready and not self._drain_events(event):
                    poll.unregister(self._events_fd)
                if self._wake_read in ready:
                    return
        finally:
            os.close(self._wake_read)
            self._handle = None

    def _drain_log(self, text: Any) -> bool:
        while (level := lib.sandd_server_next_log(self._handle, text, _LINE)) > 0:
            logger.log(_LEVELS.get(level, logging.DEBUG), "%s", text_of(text))
        return bool(level == 0)

    def _drain_events(self, event: Any) -> bool:
        while (kind := lib.sandd_server_next_daemon_event(self._handle, event)) > 0:
            self._tell(kind, text_of(event.id))
        return bool(kind == 0)
