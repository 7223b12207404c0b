"""The README's tour: its lines as they stand there, and what they say."""

import os
import re
import subprocess

from harness import binaries, wait_until
from harness.processes import ROOT


def tour():
    """Commands, each with the lines that the README shows of it."""
    block = next(block for block in (ROOT / "README.md").read_text().split("```")[1::2] if "$ sluice consent grant E1001" in block)
    for part in re.split(r"^\$ ", block.strip(), flags=re.M)[1:]:
        command, *said = part.rstrip().splitlines()
        yield command, said


def shape(line):
    """Without times, numbers and hashes, and with one space where there are several."""
    line = re.sub(r"\b\d{4}-\d\d-\d\d ", "", line.strip())
    line = re.sub(r"\d\d:\d\d:\d\d(\.\d+)?", "TIME", line)
    line = re.sub(r"\b[0-9a-f]{12,}", "HASH", line)
    return re.sub(r"\s+", " ", re.sub(r"(?<![A-Za-z0-9])\d[\d,]*(\.\d+)?( [kM])?(?![A-Za-z0-9])", "N", line))


def untold(said, out):
    """What the README shows and was not said, in its order. '…' stands for any lines."""
    lines = [shape(line) for line in out.splitlines()]
    for line in said:
        if line.strip() == "…":
            continue
        if shape(line) not in lines:
            return line
        lines = lines[lines.index(shape(line)) + 1:]
    return None


def test_every_line_of_the_tour_does_what_the_readme_shows(make_suite, tmp_path):
    suite = make_suite(lease_ms=3000, start=False)
    suite.up("--agents", "3")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    wait_until(lambda: {row[0] for row in suite.vault("SELECT DISTINCT subject FROM segment")} >= {"E1001", "E1003"}, "something is stored of a team's people")
    environment = {**os.environ, "SLUICE_HOME": str(suite.home), "PATH": f"{binaries()}:{os.environ['PATH']}"}
    proposal, done = None, []
    for command, said in tour():
        # Approved is what was proposed above, whatever its number is here.
        line = re.sub(r"^(sluice approve) \d+", rf"\1 {proposal}", command)

        def run():
            ended = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            return ended.returncode, ended.stdout

        if "--as job-tokeniser" in line:
            # Policy hears of a reader and of a consent within a renewal; who types needs longer than that.
            code, out = wait_until(lambda: (r if (r := run())[0] == 0 and " 1 subjects" in r[1] else None), "policy has heard of the reader and the consent")
        elif line.startswith(("sluice read", "sluice who-read")):
            # How much left is on record when the reader has gone. Whoever asks a machine that dawdles may give up before they are told that they may not.
            code, out = wait_until(lambda: (r if untold(said, (r := run())[1]) is None else None), "it is told, and on record with its end")
        else:
            code, out = run()
        assert untold(said, out) is None, (line, untold(said, out), out)
        assert code == (77 if said[0].startswith("sluice: no grant") else 0), (line, code, out)
        proposal = next(iter(re.findall(r"^proposal (\d+)", out, flags=re.M)), proposal)
        if "applied by" in out and "apply the policy" in out:
            wait_until(lambda: suite.service_status("policy")["gauges"].get("policy.document"), "policy goes by the document")
        done.append((line.split()[1], said, out))
    assert [name for name, _, _ in done] == [
        "status", "policy", "policy", "approve", "consent", "approve", "consent", "register", "approve", "read", "read", "who-read", "export",
        '"card', "consent", "'s/E2002,", "forget"]
    assert (tmp_path / "activity.ndjson").read_text().count("\n") > 0 and (tmp_path / "mine.zip").read_bytes()[:2] == b"PK"
    # The control: what one line says is not what another does.
    for (_, said, _), (_, _, out) in zip(done, done[1:]):
        assert untold(said, out) is not None, (said, out)
