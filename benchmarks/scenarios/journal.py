"""What a journal costs: CPU per prompt beside the same call without one, and opening a million lines.

Zero latency, 32 slots, the call with and without `journal=` in turn, each in a process of its own; then the same call
answered from the journal alone. The million lines are records of about 1.3 KB; the memory is what the index adds to
the process.
Reach: <= 25 µs CPU per prompt; a million lines in <= 10 s and <= 150 MB.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Report, Server, at_most, environment  # noqa: E402

SLOTS = 32


def run(bench: Bench) -> Report:
    """In turn, so that a noisy minute hits both."""
    prompts, many = bench.size(20_000, 3_000), bench.size(1_000_000, 100_000)
    plain, kept, resumed = [], [], []
    with Server("zero") as server, tempfile.TemporaryDirectory() as folder:
        for turn in range(bench.rounds or bench.size(7, 3)):
            path = f"{folder}/{turn}.jsonl"
            plain.append(child("call", server.url, prompts, "-")["us"])
            kept.append(child("call", server.url, prompts, path)["us"])
            resumed.append(child("call", server.url, prompts, path)["us"])
        opened = child("open", f"{folder}/million.jsonl", many)
    cost = statistics.median(b - a for a, b in zip(plain, kept))
    rows = [[name, f"{min(found):.0f}", f"{statistics.median(found):.0f}"] for name, found in (
        ("without", plain), ("with a journal", kept), ("answered from the journal", resumed))]
    return Report(f"A journal: {prompts:,} prompts, {SLOTS} slots", ["call", "CPU µs/prompt min", "median"], rows, [
        at_most("CPU of the journal, µs per prompt", cost, 25),
        at_most(f"s to open {many:,} lines", opened["seconds"], 10),
        at_most(f"MB for the index of {many:,} lines", opened["mb"], 150),
    ], [f"the file has {opened['bytes'] / 1e6:,.0f} MB; opening took {opened['cpu']:.1f} s of CPU"], raw={})


def child(*arguments: object) -> dict:
    """One measurement in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr[-600:])
    return json.loads(done.stdout)


def call(url: str, prompts: int, path: str) -> dict:
    """CPU per prompt of one `process_prompts`."""
    from deluge import LLMClient
    client = LLMClient("gpt-4.1-mini", base_url=url, api_key="sk-benchmark", progress=None, max_tokens_per_minute=10**12,
                       max_concurrent_requests=SLOTS, max_requests_per_minute=10**9)
    client.process_prompts([traffic.unnumbered(200)] * 64)
    options = {} if path == "-" else {"journal": path}
    texts = [traffic.prompt(number, 200) for number in range(prompts)]
    before = time.process_time()
    answers = client.process_prompts(texts, show_progress=False, **options)
    spent = time.process_time() - before
    assert sum(not answer.is_error for answer in answers) == prompts
    return {"us": spent / prompts * 1e6}


def opened(path: str, many: int) -> dict:
    """Time and memory of opening a journal of so many lines, and of finding 1,000 of them."""
    from deluge.journal import Journal
    make(path, many)
    os.sync()
    before, cpu, peak = time.monotonic(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    journal = Journal(path)
    seconds, spent = time.monotonic() - before, time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    for number in range(0, many, many // 1_000):
        assert journal.find(Asked(number), number, None) is not None
    journal.close()
    return {"seconds": seconds, "cpu": spent, "mb": grown, "bytes": os.path.getsize(path)}


class Asked:
    """One prompt of the million."""

    row_id, occurrence = None, 0

    def __init__(self, number: int) -> None:
        from deluge.journal.lines import identity
        self.key = key_of(number)
        self.mark = identity(self.key, None, 0)


def key_of(number: int) -> str:
    """A key like any other."""
    import hashlib
    return "0123456789abcdef" + hashlib.sha256(b"%d" % number).hexdigest()[16:]


def make(path: str, many: int) -> None:
    """Writes the file."""
    from deluge.prompt import Conversation, Message
    from deluge.record import record, record_line
    from deluge.response import APIResponse, Attempt
    response = APIResponse(
        model_internal="gpt-4.1-mini", provider="openai", prompt=Conversation.of_text(traffic.prompt(7, 250)),
        content=Message.ai(traffic.WORDS * 3), finish_reason="stop", status_code=200, cost=0.0004, response_id="chatcmpl-x",
        attempts=(Attempt("gpt-4.1-mini", 200),), started_at=1.8e9, finished_at=1.8e9, latency=0.8, queued=0.1)
    head, tail = record_line(record(response, key="KEY", occurrence=0, index=777_777)).split(b'"KEY"')
    with open(path, "wb", buffering=1 << 20) as file:
        for number in range(many):
            file.write(head.replace(b"777777", b"%d" % number) + b'"%s"' % key_of(number).encode() + tail)


if __name__ == "__main__":
    kind, first, size, *rest = sys.argv[1:]
    print(json.dumps(call(first, int(size), *rest) if kind == "call" else opened(first, int(size))))
