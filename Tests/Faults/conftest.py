"""Fixtures, and a limit: nothing may hang."""

import pytest
from hostile import Suite, binaries  # isort: skip - it puts the harness on the path
from harness.limit import *  # noqa: F403


def _making(folder_for):
    made = []

    def make(**more):
        if not (binaries() / "sluice").exists():
            pytest.fail(f"there is no {binaries() / 'sluice'}: build first, or set SLUICE_BIN", pytrace=False)
        made.append(Suite(folder_for(len(made)), **more))
        return made[-1]

    return make, made


@pytest.fixture
def make_suite(tmp_path):
    """Suites that end with the test: for what may end a service."""

    def folder(number):
        path = tmp_path / f"suite-{number}"
        path.mkdir()
        return path

    make, made = _making(folder)
    yield make
    for suite in made:
        suite.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A suite for all tests of a module. One that has lost a process is replaced, so that one failure does not become many."""
    make, made = _making(lambda number: tmp_path_factory.mktemp("suite"))

    def current():
        if not made or made[-1].service_ids() != made[-1].started:
            if made:
                made[-1].close()
            make()
        return made[-1]

    yield current
    for suite in made:
        suite.close()


@pytest.fixture
def suite(shared):
    return shared()
