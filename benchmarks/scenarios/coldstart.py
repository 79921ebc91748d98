"""From `python` to the first answer and out again: one prompt, a fresh process, no warm-up.

Wall time and CPU of the whole process, interpreter and imports included.
"""
import resource
import subprocess
import sys
import time

from harness import CONTENDERS as FOLDER
from harness import Bench, Failed, Report, Server, cores, environment, flags, of, pinned

CONTENDERS = ("ours", "lm_deluge_async", "aiohttp_gather", "requests_naive", "openai_sdk", "litellm_batch")


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    with Server("zero") as server:

        def once(name: str) -> dict:
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--url", server.url,
                                   *flags({"prompts": 1, "slots": 1, "warmup": 0})], capture_output=True, text=True,
                                  env=environment(server), preexec_fn=pinned(cores()[0]), timeout=60)
            wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode or '"answered": 1' not in done.stdout:
                raise Failed(f"{name}: {done.stderr[-400:]}")
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return {"wall": wall, "cpu": cpu, "cpu_us": cpu * 1e6, "answered": 1}

        found = bench.interleave(bench.names(CONTENDERS), bench.size(7, 2), once)
    rows = [[name, f"{of(r, 'wall', min) * 1000:.0f}", f"{of(r, 'cpu', min) * 1000:.0f}"] if r else [name, "failed", ""]
            for name, r in found.items()]
    return Report("Cold start: a fresh process and one prompt", ["contender", "wall ms", "CPU ms"], rows, raw=found)
