"""Opening a journal of a million lines: time, and the memory of its index.

The lines are records of about 1.3 KB; the memory is what the index adds to the process.
Reach: <= 10 s and <= 150 MB.
"""
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Report, at_most, environment  # noqa: E402


def run(bench: Bench) -> Report:
    """In a process of its own."""
    many = bench.size(1_000_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, __file__, f"{folder}/many.jsonl", str(many)], env=environment(),
                              capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr[-600:])
    found = json.loads(done.stdout)
    return Report(f"Opening a journal of {many:,} lines", figures=[
        at_most(f"s to open {many:,} lines", found["seconds"], 10),
        at_most(f"MB for the index of {many:,} lines", found["mb"], 150),
    ], notes=[f"the file has {found['bytes'] / 1e6:,.0f} MB; opening took {found['cpu']:.1f} s of CPU"], raw={})


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
    print(json.dumps(opened(sys.argv[1], int(sys.argv[2]))))
