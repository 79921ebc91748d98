"""What a hit of a response cache costs, in CPU per prompt of a whole call, and whether a shared file holds many at once.

One client answers prompts from a cache that has all of them; the prompts are new objects each time, so that their keys
are made anew. Then eight processes with four threads each read and write one SQLite file.
Reach: <= 60 µs from memory, <= 150 µs from SQLite; no error with 8 processes x 4 threads on one file.
"""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Report, at_most, environment  # noqa: E402

PROCESSES, THREADS = 8, 4


def run(bench: Bench) -> Report:
    """Both caches in turn, each round in a process of its own; the fastest round counts."""
    prompts, turns = bench.size(20_000, 3_000), bench.size(2_000, 300)
    found: dict[str, list[float]] = {"memory": [], "sqlite": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(bench.rounds or bench.size(5, 2)):
            for kind, costs in found.items():
                costs.append(child("hits", kind, f"{folder}/{turn}.db", prompts)["us"])
        began = time.monotonic()
        crowd = [started("crowd", "sqlite", f"{folder}/shared.db", turns) for _ in range(PROCESSES)]
        errors = sum(finished(process)["errors"] for process in crowd)
        seconds = time.monotonic() - began
    rows = [[kind, f"{min(costs):.0f}", f"{sorted(costs)[len(costs) // 2]:.0f}"] for kind, costs in found.items()]
    calls = PROCESSES * THREADS * turns
    return Report(f"Hits of a response cache: {prompts:,} prompts", ["cache", "CPU µs/prompt min", "median"], rows, [
        at_most("µs per hit from memory", min(found["memory"]), 60),
        at_most("µs per hit from SQLite", min(found["sqlite"]), 150),
        at_most(f"errors in {calls:,} calls of {PROCESSES} processes x {THREADS} threads on one file", errors, 0),
    ], [f"the {calls:,} calls on one file took {seconds:.1f} s"], raw={})


def started(*arguments: object) -> "subprocess.Popen[str]":
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> dict:
    """What it found."""
    out, err = process.communicate(timeout=600)
    if process.returncode:
        raise Failed(err[-600:])
    return json.loads(out)


def child(*arguments: object) -> dict:
    """One measurement, from its start to its end."""
    return finished(started(*arguments))


def cache_of(kind: str, path: str) -> object:
    """The cache."""
    from deluge.caches import MemoryCache, SQLiteCache
    return MemoryCache(100_000) if kind == "memory" else SQLiteCache(path)


def hits(kind: str, path: str, prompts: int) -> dict:
    """CPU per prompt of one `process_prompts` that is answered from the cache alone."""
    from deluge import LLMClient
    cache = cache_of(kind, path)
    client = LLMClient("rehearsal-echo", cache=cache, progress=None)
    texts = [traffic.prompt(number, 200) for number in range(prompts)]
    client.process_prompts(texts)
    before = time.process_time()
    answers = client.process_prompts(texts)
    spent = time.process_time() - before
    assert all(answer.source == "cache" for answer in answers)
    client.close()
    return {"us": spent / prompts * 1e6}


def crowd(kind: str, path: str, turns: int) -> dict:
    """Errors of threads that look up and keep answers as fast as they can."""
    import threading

    from deluge import APIResponse, Conversation, Message
    cache, errors = cache_of(kind, path), []
    answer = APIResponse(content=Message.ai(traffic.WORDS), finish_reason="stop", status_code=200)

    def work(number: int) -> None:
        try:
            for turn in range(turns):
                prompt = Conversation.of_text("x").freeze().keyed(f"{(number * 31 + turn * 7) % 997}")
                if cache.get(prompt) is None:
                    cache.put(prompt, answer)
        except Exception as error:  # counted: that is the figure
            errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.close()
    return {"errors": len(errors)}


if __name__ == "__main__":
    what, kind, path, size = sys.argv[1:]
    print(json.dumps((hits if what == "hits" else crowd)(kind, path, int(size))))
