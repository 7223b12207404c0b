"""Benchmarks that claim something are claims: a small run of them is a test."""

import json
import subprocess

from harness import binaries


def restarted(folder, *more):
    done = subprocess.run(
        [binaries() / "sluice", "bench", "restart", "--agents", "60", "--rounds", "2", "--json", "--folder", folder, *more],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def test_a_pause_in_the_middle_of_a_storm_of_agents_who_come_back_is_complete_in_time(tmp_path):
    told = restarted(tmp_path, "--pause")
    assert len(told["stops"]) == told["rounds"] == 2 and told["late"] == 0, told
    for stop in told["stops"]:
        assert stop["complete"] and 0 < stop["certificate_ms"] <= 3_000 * 1.002 + 1_000, told
        assert stop["connected"] >= 30, told
    # The control: without the flag nobody pauses, and the agents come back all the same.
    told = restarted(tmp_path)
    assert told["stops"] == [] and told["median_s"] > 0
