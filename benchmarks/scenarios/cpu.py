"""CPU per prompt when nothing else limits: zero latency, 32 slots.

User and system time of the client process for the run alone, all threads, divided by the prompts. Imports,
construction and a warm-up of 64 prompts come before it. `raw_socket` shows what the server can take.
Reach: <= 0.45 of lm-deluge, <= 0.9 of an aiohttp gather, <= 0.35 of bare urllib3 in threads.
"""
from harness import HEADINGS, Bench, Report, Server, at_most, compare, compete, ratio

CONTENDERS = ("ours", "lm_deluge_async", "aiohttp_gather", "urllib3_threads", "http_client_threads", "requests_lean",
              "requests_naive", "openai_sdk", "litellm_batch", "raw_socket")
SLOTS = 32


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    prompts = bench.size(10_000, 2_000)
    with Server("zero") as server:
        found = bench.interleave(bench.names(CONTENDERS), bench.size(7, 3), lambda name: compete(
            name, server, prompts=2_000 if name == "litellm_batch" else prompts, slots=SLOTS))
    peers = (("lm_deluge_async", 0.45), ("aiohttp_gather", 0.9), ("urllib3_threads", 0.35))
    return Report(f"CPU per prompt: zero latency, {SLOTS} slots, {prompts:,} prompts", HEADINGS, compare(found, bench),
                  [at_most(f"CPU ours / {peer}", ratio(found, "ours", peer, "cpu_us"), limit) for peer, limit in peers],
                  raw=found)
