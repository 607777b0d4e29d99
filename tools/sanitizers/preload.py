# SPDX-License-Identifier: MIT
"""A pytest plugin: the sanitizer that was preloaded into Python is not meant for the programs that tests start.

They are instrumented themselves, or are the system's own. The controller of pytest-xdist keeps the environment, since
its workers need it; they, or a pytest without workers, restore it.
"""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    has_workers = bool(getattr(config.option, "tx", None)) or bool(getattr(config.option, "numprocesses", None))
    if is_worker or not has_workers:
        os.environ.pop("LD_PRELOAD", None)
        os.environ.pop("PYTHONPATH", None)
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"):
            options = os.environ.pop(f"SANDD_CHILD_{name}", None)
            if options:
                os.environ[name] = options
