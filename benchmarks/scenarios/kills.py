"""SIGKILL at random moments of `deluge run`, and the same command again.

20,000 prompts, 20 ms of latency, 50 slots, 50 kills: most after a random number of records, some while the
command is still starting. The server counts which prompts it is asked for again.
Reach: every prompt has exactly one record in the end; prompts asked for again <= those in flight at the kills.
"""
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Figure, Report, Server, environment  # noqa: E402

SLOTS, SEED = 50, 20_261


def run(bench: Bench) -> Report:
    """One journal, many lives."""
    prompts, kills = bench.size(20_000, 2_000), bench.size(50, 10)
    with Server("latency", seconds=0.02) as server, tempfile.TemporaryDirectory() as folder:
        work, out = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        work.write_text("".join(json.dumps(traffic.prompt(number, 200)) + "\n" for number in range(prompts)))
        chance, in_flight, began = random.Random(SEED), 0, time.monotonic()
        for _ in range(kills):
            life(server, work, out, chance, 2 * prompts // (3 * kills))
            in_flight += server.ask("stats")["asked"] - lines(out)
        child = start(server, work, out)
        if child.wait(600):
            raise Failed(f"the last run failed: {child.returncode}")
        wall = time.monotonic() - began
        stats = server.ask("stats")
        indexes = [json.loads(line)["index"] for line in out.read_bytes().splitlines()]
        left = {path.name for path in Path(folder).iterdir()} - {"in.jsonl", "out.jsonl", "out.jsonl.runs"}
    return Report(f"SIGKILL at {kills} moments of {prompts:,} prompts, {wall:.0f} s in all", figures=[
        Figure("prompts without a record in the end", prompts - len(set(indexes)), "0", set(indexes) == set(range(prompts))),
        Figure("records too many", len(indexes) - len(set(indexes)), "0", len(indexes) == len(set(indexes))),
        Figure("prompts asked for again", stats["again"], f"<= {in_flight} (in flight at the kills)",
               stats["again"] <= in_flight),
        Figure("files left beside the output and its notes", len(left), "0", not left),
    ], raw={})


def start(server: Server, work: Path, out: Path) -> "subprocess.Popen[bytes]":
    """The command."""
    return subprocess.Popen(
        [sys.executable, "-m", "deluge", "run", str(work), "-m", "gpt-4.1-mini", "--base-url", server.url, "-o", str(out),
         "--concurrency", str(SLOTS), "--rpm", "100000000", "--tpm", "1000000000000", "-q"],
        env={**environment(), "OPENAI_API_KEY": "sk-benchmark"}, stderr=subprocess.DEVNULL)


def life(server: Server, work: Path, out: Path, chance: random.Random, most: int) -> None:
    """One start and one kill: after so many records more, or before there can be any."""
    goal = lines(out) + chance.randrange(1, most)
    until = time.monotonic() + (chance.uniform(0.0, 0.7) if chance.random() < 0.2 else 60.0)
    child = start(server, work, out)
    while child.poll() is None and time.monotonic() < until and lines(out) < goal:
        time.sleep(0.004)
    time.sleep(chance.uniform(0.0, 0.02))
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    time.sleep(0.05)                                      # what it had sent arrives


def lines(out: Path) -> int:
    """How many whole records there are."""
    return out.read_bytes().count(b"\n") if out.exists() else 0
