"""What all contenders share: the command line, the prompts, the meter.

A contender is a module with `make(options)` that returns `run(prompts) -> answers` and ends in `stand.main(make,
"its", "packages")`. The run is metered alone: imports, client construction and warm-up come before it and are
reported beside it.
"""
import argparse
import ctypes
import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402

API_KEY = "sk-benchmark-0000000000000000000000000000000000000000"
LIBC = ctypes.CDLL(None)
Run = Callable[[Iterable[str]], Iterable[object]]


def options() -> argparse.Namespace:
    """The command line that every contender takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True, help="base url, ending in /v1")
    parser.add_argument("--prompts", type=int, default=2_000)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--model", default="gpt-4.1-mini")
    parser.add_argument("--warmup", type=int, default=64)
    parser.add_argument("--prompt-chars", type=int, default=traffic.PROMPT_CHARS)
    parser.add_argument("--timeout", type=int, default=60)
    parser.add_argument("--attempts", type=int, default=5)
    parser.add_argument("--requests-per-minute", type=limit, default=10**9, help="a number, none or auto (ours)")
    parser.add_argument("--tokens-per-minute", type=limit, default=10**12, help="a number, none or auto (ours)")
    parser.add_argument("--limit-mode", choices=("rolling", "bucket"), default="rolling", help="(ours)")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="(ours)")
    parser.add_argument("--seconds", type=float, help="end the run after so long, answered or not (ours)")
    parser.add_argument("--quota", help="share this quota (ours)")
    parser.add_argument("--feed", choices=("list", "generator"), default="list",
                        help="generator: prompts are made as they are pulled and answers are not kept (ours)")
    parser.add_argument("--wait", action="store_true",
                        help="print `ready` after the warm-up and start at a line on stdin")
    return parser.parse_args()


def limit(word: str) -> "int | str | None":
    """A limit as the client takes it."""
    return None if word == "none" else word if word == "auto" else int(word)


def memory() -> "tuple[float, float]":
    """Resident memory now (what the allocator keeps for later is given back first) and at its peak, in KB."""
    gc.collect()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)
    with open("/proc/self/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return float(fields["VmRSS"].split()[0]), float(fields["VmHWM"].split()[0])


def cpu() -> "tuple[float, float]":
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_stime


def switches() -> int:
    """Times that a thread of this process gave up its core to wait."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def measure(run: Run, chosen: argparse.Namespace, completion: Callable[[object], "str | None"]) -> "dict[str, object]":
    """One metered run."""
    texts: "Iterator[str]" = (traffic.prompt(n, chosen.prompt_chars) for n in range(chosen.prompts))
    prompts = list(texts) if chosen.feed == "list" else texts
    before, switched, started, (user, system) = memory(), switches(), time.monotonic(), cpu()
    answers = run(prompts)
    answered = characters = 0
    for answer in answers:
        text = completion(answer)
        answered += bool(text)
        characters += len(text or "")
    wall, (user_after, system_after) = time.monotonic() - started, cpu()
    switched = switches() - switched
    after, peak = memory()                                # `answers` is still held here
    return {"answered": answered, "characters": characters, "wall": wall, "user": user_after - user,
            "system": system_after - system, "switches": switched / chosen.prompts,
            "rss_before": before[0], "rss_after": after, "rss_peak": peak}


def identity(answer: object) -> "str | None":
    """For contenders whose answers are the completions."""
    return answer                                         # type: ignore[return-value]


def main(make: Callable[[argparse.Namespace], Run], *packages: str,
         completion: Callable[[object], "str | None"] = identity) -> None:
    """Run one contender and print what it cost as JSON."""
    imported, chosen = sum(cpu()), options()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = make(chosen)
    if chosen.warmup:
        for answer in run([traffic.unnumbered(chosen.prompt_chars)] * chosen.warmup):
            if not completion(answer):
                sys.exit(f"the warm-up was not answered: {answer!r}"[:500])
    warm = sum(cpu())
    if chosen.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    result = measure(run, chosen, completion)
    print(json.dumps({**result, "prompts": chosen.prompts, "import_cpu": imported, "warmup_cpu": warm - imported,
                      "versions": {name: installed(name) for name in packages}}), flush=True)


def installed(package: str) -> str:
    """The version of an installed distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "checkout"


def body(model: str, prompt: str) -> "dict[str, object]":
    """The request that the hand-written contenders send; the clients send the same by their defaults or arguments."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0.75, "top_p": 1.0,
            "max_completion_tokens": 512}
