"""Benchmarks that claim something are claims: a small run of them is a test."""

import json
import subprocess
import sys

from harness import binaries
from harness.processes import ROOT


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
    # It ends with 0 only when each of them holds a permit that was granted after the resume.
    assert told["agents"] == 60 and 0 < told["min_s"] <= told["max_s"], told
    # The control: without the flag nobody pauses, and the agents come back all the same.
    told = restarted(tmp_path)
    assert told["stops"] == [] and told["median_s"] > 0


def test_commands_are_timed_against_a_suite_that_runs(tmp_path):
    done = subprocess.run(
        [binaries() / "sluice", "bench", "commands", "--agents", "5", "--rounds", "2", "--json", "--folder", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done
    rows = {row["command"]: row for row in json.loads(done.stdout)}
    assert {"status", "certificate 1", "ledger verify"} < set(rows)
    nothing = rows.pop("(a program that does nothing)")
    # A command is a process of ours that asks another: it cannot be quicker than one that does nothing.
    assert all(row["median"] > nothing["median"] > 0 for row in rows.values()), rows


def test_a_larger_history_of_exposure_has_more_rows_and_far_fewer_groups():
    done = subprocess.run(
        [binaries() / "sluice", "bench", "exposure", "--subjects", "2000", "--releases", "500", "--versions", "20", "--runs", "1", "--json"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done
    sizes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [size["subjects"] for size in sizes] == [20, 200, 2000] and [size["versions"] for size in sizes] == [1, 2, 20]
    assert 0 < sizes[0]["rows"] < sizes[1]["rows"] < sizes[2]["rows"] <= 4000
    assert 0 < sizes[2]["groups"] < sizes[2]["rows"] / 3 and sizes[2]["windows"] >= sizes[2]["groups"]


def test_reads_are_measured_under_a_policy_that_grants_them(tmp_path):
    def measured(policy):
        return subprocess.run(
            [binaries() / "sluice", "bench", "read", "--subjects", "1", "--segments", "730", "--events", "10", "--rounds", "1", "--runs", "1", "--json", "--folder", tmp_path,
             "--policy", ROOT / "deploy" / "policy" / policy],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)

    done = measured("bench-read.yaml")
    assert done.returncode == 0, done
    assert all(figure > 0 for figure in json.loads(done.stdout).values()), done
    # The control: under one that grants nothing there is nothing to measure.
    done = measured("bench.yaml")
    assert done.returncode == 77 and "the policy document has no purpose 'bench'" in done.stderr, done


def test_a_seal_is_measured_on_the_whole_way_of_a_batch_beside_the_same_way_without(tmp_path):
    done = subprocess.run(
        [binaries() / "sluice", "bench", "seal", "--path", "--agents", "4", "--window", "2", "--events", "50", "--rounds", "2", "--seconds", "0.2", "--json", "--folder", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
    # It ends with 0 only when all that was acknowledged is in the vault, once.
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    # Rounds in turn: without, with, without, with. Each is compared with its neighbours.
    assert told["pairs"] == 3
    for way in ("without", "with"):
        assert told[way]["batches"] > 0 and told[way]["batchesPerSecond"] > 0 and told[way]["microseconds"] > 0, told
    for ratio in (told["throughput"], told["processor"]):
        assert 0 < ratio["range"][0] <= ratio["middleHalf"][0] <= ratio["median"] <= ratio["middleHalf"][1] <= ratio["range"][1], told
    # The control: what is measured as sealed was, and nothing else; a seal is an encapsulation and a tag more.
    assert told["opened"] == told["with"]["batches"], told
    assert list(tmp_path.iterdir()) == []


def told_everybody(folder, *more, python=sys.executable):
    """It ends with 0 only when the server had each mail once, and each receiver each event once and in order."""
    return subprocess.run(
        [binaries() / "sluice", "bench", "notify", "--python", python, "--folder", folder, "--json", *more],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)


def test_notices_and_events_are_measured_by_what_has_arrived(tmp_path):
    done = told_everybody(tmp_path, "--mails", "30", "--events", "40", "--receivers", "2", "--connections", "3")
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    mails = {row["who"]: row for row in told["mails"]}
    ours, plain = mails["sluice-notify"], mails["smtplib"]
    assert ours["mails"] == plain["mails"] == 30 and ours["octets"] == plain["octets"] > 5_000
    # A connection is kept for the next mail.
    assert 1 <= ours["connections"] <= 3 and ours["peak_bytes"] > 0
    assert [(row["who"], row["receivers"], row["events"]) for row in told["webhooks"]] == [("sluice-notify", 2, 80), ("libcurl alone", 2, 80)]
    assert list(tmp_path.iterdir()) == []
    # The control: where no server comes up nothing is measured.
    done = told_everybody(tmp_path, "--mails", "3", "--events", "0", python="/bin/false")
    assert done.returncode != 0 and "nothing listens" in done.stderr, done
