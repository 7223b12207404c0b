"""Waiting for something to become true, with an end."""

import time

# Long enough for a noisy machine with two cores and debug binaries: a test that fails is late, a test that passes is not.
PATIENCE = 60.0


def wait_until(condition, what="the condition", within=PATIENCE, every=0.03):
    """Polls `condition` until it returns something true, and returns that.

    `condition` may raise AssertionError or return something false for "not yet"; and so does whoever looks for what nobody has reported
    yet, a counter or a service. After `within` seconds the test fails, with the last thing seen.
    """
    deadline = time.monotonic() + within
    while True:
        seen = None
        try:
            seen = condition()
            if seen:
                return seen
        except (AssertionError, LookupError, StopIteration) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s; last seen: {seen!r}")
        time.sleep(every)
