"""A thousand TLS connections, then 10,000 prompts over them.

The server holds the first 1,000 requests until all of them are there, so that 1,000 connections are open at once;
from then on it answers at once. Three runs per contender: open and 10,000 more; open alone; and 1,000 prompts over 10
connections, whose memory and CPU are taken off to get those of one connection. An idle thread is measured apart and
taken off where threads are used. Certificates are verified, against a bundle of certifi's size.
Reach: CPU of the whole <= 0.6 of lm-deluge, <= 60 KB per connection without its thread.
"""
import json
import subprocess
import sys

from harness import Bench, Report, Server, at_most, compete, of, ratio

CONTENDERS = ("ours", "lm_deluge_async", "aiohttp_gather", "http_client_threads")
THREADED = ("ours", "http_client_threads")
OPEN, FEW = 1_000, 10
IDLE_THREADS = """
import threading
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
gate, before, threads = threading.Event(), resident(), []
for _ in range(1000):
    threads.append(threading.Thread(target=gate.wait))
    threads[-1].start()
print((resident() - before) / 1000)
gate.set()
"""


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    kept = bench.size(10_000, 3_000)
    thread = json.loads(subprocess.run([sys.executable, "-c", IDLE_THREADS], capture_output=True, check=True).stdout)
    with Server("gate", gate=OPEN, tls=True) as many, Server("gate", gate=FEW, tls=True) as few:

        def once(name: str) -> dict:
            result = compete(name, many, prompts=OPEN + kept, slots=OPEN, warmup=0)
            opened = compete(name, many, prompts=OPEN, slots=OPEN, warmup=0)
            base = compete(name, few, prompts=OPEN, slots=FEW, warmup=0)
            shared = thread if name in THREADED else 0.0
            return {**result, "connections": result["server"]["connections"],
                    "kb": (opened["rss_peak"] - base["rss_peak"]) / (OPEN - FEW) - shared,
                    "open_us": (opened["cpu"] - base["cpu"]) / (OPEN - FEW) * 1e6,
                    "kept_us": (result["cpu"] - opened["cpu"]) / kept * 1e6}

        found = bench.interleave(bench.names(CONTENDERS), bench.size(3, 1), once)
    rows = [[name, f"{of(r, 'cpu'):.2f}", f"{of(r, 'open_us'):.0f}", f"{of(r, 'kept_us'):.0f}", f"{of(r, 'kb'):.0f}",
             f"{of(r, 'connections'):,.0f}", f"{of(r, 'wall'):.2f}"] if r else [name, "failed", *[""] * 5]
            for name, r in found.items()]
    return Report(f"TLS: {OPEN:,} connections opened, then {kept:,} prompts kept alive",
                  ["contender", "CPU s", "µs per connection opened", "µs per prompt kept alive", "KB per connection",
                   "connections", "wall s"], rows,
                  [at_most("CPU ours / lm_deluge_async", ratio(found, "ours", "lm_deluge_async", "cpu"), 0.6),
                   at_most("KB per connection without its thread", of(found.get("ours", []), "kb"), 60)],
                  [f"an idle thread holds {thread:.0f} KB"], found)
