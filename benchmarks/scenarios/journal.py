"""What a journal costs: CPU per prompt of the same call with one and without.

Zero latency, 32 slots. In one process, on a core of its own as in all scenarios, one client makes the same call with
and without `journal=` in turn (which of the two goes first, in turn too), so that a noisy second hits both; several
such processes one after the other. The cost is the median of the differences within the pairs; opening, closing and
the last fsync are in it. Then the same call answered from the journal alone.
Reach: <= 25 µs CPU per prompt.
"""
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Report, Server, at_most, cores, environment, pinned  # noqa: E402

SLOTS, TURNS = 32, 8
WAYS = ("without", "with a journal", "answered from the journal")


def run(bench: Bench) -> Report:
    """Several processes, in each of them both ways in turn."""
    prompts = bench.size(5_000, 1_000)
    turns: "list[dict[str, float]]" = []
    with Server("zero") as server, tempfile.TemporaryDirectory() as folder:
        for _ in range(bench.rounds or bench.size(5, 2)):
            turns += child(server.url, prompts, folder)
    costs = [turn[WAYS[1]] - turn[WAYS[0]] for turn in turns]
    lower, cost, upper = statistics.quantiles(costs, n=4)
    rows = [[way, f"{min(found):.0f}", f"{statistics.median(found):.0f}"]
            for way in WAYS if (found := [turn[way] for turn in turns])]
    return Report(f"A journal: {prompts:,} prompts, {SLOTS} slots, {len(turns)} pairs",
                  ["call", "CPU µs/prompt min", "median"], rows,
                  [at_most("CPU of the journal, µs per prompt", cost, 25)],
                  [f"half of the pairs differ by {lower:.0f} to {upper:.0f} µs"], raw={})


def child(url: str, prompts: int, folder: str) -> "list[dict[str, float]]":
    """The turns of one process."""
    done = subprocess.run([sys.executable, __file__, url, str(prompts), folder], env=environment(), capture_output=True,
                          text=True, preexec_fn=pinned(cores()[0]))
    if done.returncode:
        raise Failed(done.stderr[-600:])
    return json.loads(done.stdout)


def measure(url: str, prompts: int, folder: str) -> "list[dict[str, float]]":
    """CPU per prompt of each way, for each turn."""
    from deluge import LLMClient
    client = LLMClient("gpt-4.1-mini", base_url=url, api_key="sk-benchmark", progress=None, max_tokens_per_minute=10**12,
                       max_concurrent_requests=SLOTS, max_requests_per_minute=10**9)
    client.process_prompts([traffic.unnumbered(200)] * 64)
    texts = [traffic.prompt(number, 200) for number in range(prompts)]

    def call(**options: str) -> float:
        gc.collect()
        before = time.process_time()
        answers = client.process_prompts(texts, show_progress=False, **options)
        spent = time.process_time() - before
        assert sum(not answer.is_error for answer in answers) == prompts
        return spent / prompts * 1e6

    turns = []
    for turn in range(TURNS):
        path = f"{folder}/{os.getpid()}-{turn}.jsonl"
        found = {}
        for way in (WAYS[:2] if turn % 2 else WAYS[1::-1]):
            found[way] = call() if way == WAYS[0] else call(journal=path)
        found[WAYS[2]] = call(journal=path)
        os.unlink(path)
        turns.append(found)
    return turns


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
