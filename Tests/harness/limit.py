"""A limit for each test: nothing may hang. `from harness.limit import *` in a conftest.py."""

import signal

import pytest

__all__ = ["pytest_configure", "pytest_runtest_protocol"]

TIMEOUT = 150


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): the test fails after so long; default 150")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Nothing may hang: SIGALRM ends the test, and its fixtures end its processes."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else TIMEOUT

    def late(*_):
        # Fixtures get their time to tidy up.
        signal.alarm(60)
        raise TimeoutError(f"{item.name} took longer than {seconds} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
