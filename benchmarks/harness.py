"""Servers, contenders and tables: what the scenarios are made of."""
import dataclasses
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
CONTENDERS = HERE / "contenders"
Numbers = Mapping[str, "float | None"]


def cores() -> "tuple[int | None, int | None]":
    """The core of the clients and the core of the server; (None, None) where there is one only or no say in it."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    free = sorted(os.sched_getaffinity(0))
    return (free[1], free[0]) if len(free) > 1 else (None, None)


def pinned(core: "int | None") -> "Callable[[], None] | None":
    """What a child runs before it starts, to stay on its core."""
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


class Failed(Exception):
    """A contender did not finish; the message is the end of what it wrote."""


class Server:
    """The benchmark server in its own process, on its own core: `with Server("latency", seconds=1) as server`."""

    program = "server.py"

    def __init__(self, mode: str, **options: object) -> None:
        self.arguments = ["--mode", mode, *flags(options)]

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen([sys.executable, str(HERE / self.program), *self.arguments], text=True,
                                        bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=environment(), preexec_fn=pinned(cores()[1]))
        ready = json.loads(self.process.stdout.readline())
        self.port, self.ca = ready["port"], ready["ca"]
        self.url = f"{'https' if self.ca else 'http'}://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def ask(self, command: str) -> "dict":
        """`stats`, `log` or `reset`."""
        self.process.stdin.write(command + "\n")
        return json.loads(self.process.stdout.readline())


class Provider(Server):
    """An account with limits in its place: `with Provider("sliced", requests=6_000, changes={25: 3_000}) as server`.

    ``changes``: the limit on requests from so many seconds after the first request on.
    """

    program = "provider.py"

    def __init__(self, kind: str, changes: "Mapping[float, float] | None" = None, **options: object) -> None:
        self.arguments = ["--kind", kind, *flags(options)]
        for after, requests in (changes or {}).items():
            self.arguments += ["--change", f"{after:g}:{requests:g}"]


def flags(options: Mapping[str, object]) -> "list[str]":
    """Command-line flags of keyword arguments."""
    words = []
    for name, value in options.items():
        if value is not None and value is not False:
            words += ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]
    return words


def environment(server: "Server | None" = None) -> "dict[str, str]":
    """The children's environment: our checkout first, no proxies, the server's certificate beside certifi's own."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")]))
    if server is not None and server.ca:
        bundle = bundled(server.ca)
        kept.update(SSL_CERT_FILE=bundle, REQUESTS_CA_BUNDLE=bundle)
    return kept


def bundled(certificate: str) -> str:
    """A bundle of usual size: what certifi trusts and the server's own certificate."""
    import certifi
    path = Path(certificate).with_name("bundle.pem")
    path.write_text(Path(certifi.where()).read_text(encoding="ascii") + Path(certificate).read_text(encoding="ascii"),
                    encoding="ascii")
    return str(path)


def compete(name: str, server: Server, patience: float = 300, **options: object) -> "dict":
    """One metered run of a contender; its figures, with the server's under "server"."""
    command = [sys.executable, str(CONTENDERS / f"{name}.py"), "--url", server.url, "--wait", *flags(options)]
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                                 bufsize=1, env=environment(server), preexec_fn=pinned(cores()[0]))
        try:
            until(child, "ready", patience)
            server.ask("reset")
            child.stdin.write("go\n")
            result = json.loads(until(child, "{", patience))
        except (Failed, BrokenPipeError) as failure:
            child.kill()
            errors.seek(0)
            raise Failed(f"{name}: {failure}: {errors.read().strip()[-600:]}") from None
        finally:
            child.stdin.close()
            child.stdout.close()
            child.wait()
    stats = server.ask("stats")
    cpu, prompts = result["user"] + result["system"], result["prompts"]
    return {**result, "name": name, "server": stats, "cpu": cpu, "cpu_us": cpu / prompts * 1e6,
            "rate": result["answered"] / result["wall"], "busy": stats["cpu"] / result["wall"] * 100}


def until(child: "subprocess.Popen[str]", start: str, timeout: float) -> str:
    """The child's next line that begins with `start`; other lines are its chatter. A child that is late is killed."""
    watchdog = threading.Timer(timeout, child.kill)
    watchdog.start()
    try:
        for line in child.stdout:
            if line.startswith(start):
                return line
    finally:
        watchdog.cancel()
    raise Failed(f"stopped after {timeout:g} s" if child.wait() == -signal.SIGKILL else "ended early")


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One row of the figures to reach: what was measured against what is promised."""

    what: str
    value: "float | None"
    reach: str
    met: "bool | None"

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        met = {None: "-", True: "yes", False: "**no**"}[self.met]
        return f"| {self.what} | {value} | {self.reach} | {met} |"


def at_most(what: str, value: "float | None", limit: float, unit: str = "") -> Figure:
    """A figure that must not pass its limit."""
    return Figure(what, value, f"<= {limit:g}{unit}", None if value is None else value <= limit)


def at_least(what: str, value: "float | None", limit: float, unit: str = "") -> Figure:
    """A figure that must reach its limit."""
    return Figure(what, value, f">= {limit:g}{unit}", None if value is None else value >= limit)


@dataclasses.dataclass(slots=True)
class Report:
    """What a scenario found: a table of the contenders, the figures, everything raw."""

    title: str
    headings: "list[str]" = dataclasses.field(default_factory=list)
    rows: "list[list[str]]" = dataclasses.field(default_factory=list)
    figures: "list[Figure]" = dataclasses.field(default_factory=list)
    notes: "list[str]" = dataclasses.field(default_factory=list)
    raw: object = None

    def __str__(self) -> str:
        parts = [f"### {self.title}", ""]
        if self.rows:
            parts += [*table(self.headings, self.rows), ""]
        if self.figures:
            parts += ["| figure | measured | reach | met |", "|---|---|---|---|", *map(str, self.figures), ""]
        return "\n".join([*parts, *(f"* {note}" for note in self.notes)]).rstrip() + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> "list[str]":
    """The lines of a Markdown table."""
    return ["| " + " | ".join(line) + " |" for line in (headings, ["---"] * len(headings), *rows)]


@dataclasses.dataclass(slots=True)
class Bench:
    """What the command line asked for, handed to every scenario."""

    contenders: "list[str] | None" = None
    rounds: "int | None" = None
    quick: bool = False
    parts: "list[str] | None" = None
    failures: "dict[str, str]" = dataclasses.field(default_factory=dict)

    def size(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full

    def wants(self, part: str) -> bool:
        """Whether this part of the scenario is to be run."""
        return self.parts is None or part in self.parts

    def names(self, usual: Sequence[str]) -> "list[str]":
        """The contenders of a scenario; ours always leads."""
        chosen = [name for name in usual if self.contenders is None or name in self.contenders]
        return chosen or list(self.contenders or usual)

    def attempt(self, name: str, once: Callable[[str], "dict"]) -> "dict | None":
        """One run, or None when it failed (which is kept and reported, never hidden)."""
        if name in self.failures:
            return None
        try:
            result = once(name)
        except Failed as failure:
            self.failures[name] = str(failure)
            print(f"FAILED {failure}", file=sys.stderr)
            return None
        print(f"    {name:20} {result['cpu_us']:8.0f} µs/prompt  {result['wall']:7.2f} s  "
              f"{result['answered']} answered, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        return result

    def interleave(self, names: Sequence[str], rounds: int, once: Callable[[str], "dict"]) -> "dict[str, list[dict]]":
        """Every contender once per round, so that a noisy minute hits all of them."""
        self.failures.clear()
        found: "dict[str, list[dict]]" = {name: [] for name in names}
        for turn in range(self.rounds or rounds):
            print(f"  round {turn + 1}", file=sys.stderr, flush=True)
            for name in names:
                result = self.attempt(name, once)
                if result is not None:
                    found[name].append(result)
        return found


def of(results: "list[dict]", field: str,
       pick: Callable[[Iterable[float]], float] = statistics.median) -> "float | None":
    """One number of several rounds."""
    return pick([result[field] for result in results]) if results else None


def ratio(found: "Mapping[str, list[dict]]", ours: str, peer: str, field: str) -> "float | None":
    """Ours over the peer's: the median of the rounds' own ratios, which forgives a noisy round."""
    pairs = list(zip(found.get(ours, ()), found.get(peer, ())))
    return statistics.median(a[field] / b[field] for a, b in pairs) if pairs else None


HEADINGS = ["contender", "CPU µs/prompt min", "median", "wall s", "prompts/s", "answered", "waits/prompt", "peak MB",
            "server busy", "CPU ours / this"]


def compare(found: "Mapping[str, list[dict]]", bench: Bench, ours: str = "ours") -> "list[list[str]]":
    """The rows of the usual table of contenders."""
    rows = []
    for name, results in found.items():
        if not results:
            rows.append([name, "failed: " + " ".join(bench.failures.get(name, "").split())[:80].replace("|", "/"),
                         *[""] * (len(HEADINGS) - 2)])
            continue
        share = ratio(found, ours, name, "cpu_us")
        rows.append([name, f"{of(results, 'cpu_us', min):.0f}", f"{of(results, 'cpu_us'):.0f}",
                     f"{of(results, 'wall'):.2f}", f"{of(results, 'rate'):,.0f}",
                     f"{min(r['answered'] for r in results):,} of {results[0]['prompts']:,}",
                     f"{of(results, 'switches'):.1f}", f"{of(results, 'rss_peak') / 1024:.0f}",
                     f"{of(results, 'busy'):.0f} %", "" if share is None else f"{share:.2f}"])
    return rows


def machine() -> str:
    """One line about where this ran."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    client, server = cores()
    pins = "not pinned" if client is None else f"client on core {client}, server on core {server}"
    return (f"{date.today().isoformat()}, {model}, {len(os.sched_getaffinity(0))} cores, {platform.system()} "
            f"{platform.release().split('-')[0]}, Python {platform.python_version()}, {pins}, "
            f"load {os.getloadavg()[0]:.1f} at the start")
