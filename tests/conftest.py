"""Loads what the tests share, where there are tests to run: the process that hands them out to others need not import PyTorch."""

from __future__ import annotations

import signal

import pytest

# Shells start background jobs with SIGINT ignored, and the programs that the tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    plugins = session.config.pluginmanager
    if not plugins.has_plugin("dsession"):  # pytest-xdist's, in the process that hands out
        plugins.import_plugin("shared_fixtures")
