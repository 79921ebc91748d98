"""What `import deluge` costs: CPU and modules, the best of several fresh interpreters.

Measured inside the process, from before to after the statement; the interpreter's own start is not in it.
Reach: <= 120 ms CPU; nothing of requests, rich, tqdm is loaded by it.
"""
import json
import subprocess
import sys

from harness import Bench, Failed, Figure, Report, at_most, cores, environment, pinned

STATEMENTS = ("import deluge", "from deluge import LLMClient", "import lm_deluge", "import openai", "import litellm",
              "import requests", "import aiohttp")
HEAVY = ("requests", "rich", "tqdm")
PROBE = """
import json, resource, sys
used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
before, modules = used(), len(sys.modules)
exec(sys.argv[1])
cost = used() - before
print(json.dumps([cost * 1000, len(sys.modules) - modules, [m for m in sys.argv[2:] if m in sys.modules]]))
"""


def probe(statement: str) -> "tuple[float, int, list[str]]":
    """Milliseconds of CPU, new modules, heavy ones among them."""
    done = subprocess.run([sys.executable, "-c", PROBE, statement, *HEAVY], capture_output=True, text=True,
                          env=environment(), preexec_fn=pinned(cores()[0]))
    if done.returncode:
        raise Failed(f"{statement}: {done.stderr[-300:]}")
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def run(bench: Bench) -> Report:
    """Every statement, interleaved."""
    found: "dict[str, list]" = {}
    for _ in range(bench.rounds or bench.size(7, 3)):
        for statement in STATEMENTS:
            if found.get(statement, [0]):
                try:
                    found.setdefault(statement, []).append(probe(statement))
                except Failed:
                    found[statement] = []
    rows = [[f"`{statement}`", f"{min(r[0] for r in runs):.0f}", str(runs[0][1]), " ".join(runs[0][2]) or "none"]
            if runs else [f"`{statement}`", "failed", "", ""] for statement, runs in found.items()]
    ours = found["import deluge"]
    loaded = float(len(ours[0][2])) if ours else None
    return Report("Import", ["statement", "CPU ms", "new modules", "of requests, rich, tqdm"], rows,
                  [at_most("ms CPU of `import deluge`", min(r[0] for r in ours) if ours else None, 120),
                   Figure("heavy packages loaded by `import deluge`", loaded, "0",
                          None if loaded is None else not loaded)])
