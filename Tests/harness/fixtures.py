"""Fixtures and the time limit: `from harness.fixtures import *` in a conftest.py."""

import pytest

from .limit import pytest_configure, pytest_runtest_protocol
from .processes import binaries
from .suite import Suite
from .webhook import Receiver

__all__ = ["home_template", "make_suite", "make_module_suite", "make_receiver", "pytest_configure", "pytest_runtest_protocol"]


@pytest.fixture(scope="session")
def home_template(tmp_path_factory):
    """A home as `sluice up` makes it, once: keys, registry, settings."""
    if not (binaries() / "sluice").exists():
        pytest.fail(f"there is no {binaries() / 'sluice'}: build first, or set SLUICE_BIN", pytrace=False)
    suite = Suite(tmp_path_factory.mktemp("template"))
    suite.close()
    return suite.home


def _maker(folders, template):
    made = []

    def make(lease_ms=1000, hooks=None, start=True, name="suite", canaries=False, after=None):
        folder = folders(f"{name}-{len(made)}")
        suite = Suite(folder, lease_ms, hooks, template, canaries, after)
        made.append(suite)
        if start:
            suite.start()
        return suite

    return make, made


def _close(request, made):
    for suite in made:
        suite.close()


@pytest.fixture
def make_suite(tmp_path, home_template, request):
    """Makes suites that end with the test."""

    def folder(name):
        path = tmp_path / name
        path.mkdir()
        return path

    make, made = _maker(folder, home_template)
    yield make
    _close(request, made)


@pytest.fixture(scope="module")
def make_module_suite(tmp_path_factory, home_template, request):
    """Makes suites that end with the module."""
    make, made = _maker(lambda name: tmp_path_factory.mktemp(name), home_template)
    yield make
    _close(request, made)


@pytest.fixture(scope="module")
def make_receiver():
    made = []

    def make(**more):
        made.append(Receiver(**more))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()
