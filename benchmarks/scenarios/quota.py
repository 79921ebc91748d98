"""One quota for four processes, in a file and in Redis; and eight processes that are killed at random.

6,000 requests per minute and a server that answers after 50 ms. Parts, of which `--parts` chooses some:

share   four hungry processes for two (quick: one) minutes, the file first, then Redis: the busiest 60 s by the server's log,
        each process's count, and the CPU of asking the quota over the prompts. `thread` is all that the quota's thread took,
        the starts of prompts included that it does in the place of others.
kills   eight processes for a minute, one of which is killed (SIGKILL) every second and replaced, for a rolling minute and
        for a refilling bucket, both stores at the same time. A bucket's even flow shows when the share of the last victims
        is back; a rolling minute comes back in bursts, so that there it is a minute that begins within 5 s of the last
        kill that has to be used.
speed   what a quota adds to the CPU of a prompt at full speed.

Reach: never over the limit, >= 97 % used, each process within 20 % of its part; <= 15 µs per prompt (file), <= 30 µs (Redis);
all of the refill within 5 s of the last kill. About eleven minutes.
"""
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
import traffic  # noqa: E402
from harness import Bench, Failed, Figure, Report, Server, at_least, at_most, compete, environment, of, until  # noqa: E402

LIMIT, PROCESSES, MORTALS = 6_000, 4, 8
REACH = {"file": 15, "redis": 30}
FULL = 0.97  # of the limit
GRACE = 5  # seconds after a kill
FORKS = multiprocessing.get_context("forkserver")  # so that whoever is born does not have to import everything first
FORKS.set_forkserver_preload(["deluge.client", "deluge.engine", "deluge.quota", "deluge.dialects.openai_chat", "redis"])


@contextmanager
def provider():
    """The server, ahead of everybody where that is allowed: a request that it reads late is one that seems to come late."""
    with Server("latency", seconds=0.05) as server:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, server.process.pid, -15)
        yield server


@contextmanager
def stores():
    """The URLs of a quota of each kind that can be had here, new for every name."""
    with tempfile.TemporaryDirectory(prefix="quota-") as folder:
        urls = {"file": lambda name: f"file:{folder}/quota?name={name}"}
        redis = None
        if shutil.which("redis-server"):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
            redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            urls["redis"] = lambda name: f"redis://127.0.0.1:{port}/0?name={name}"
            time.sleep(0.5)
        try:
            yield urls
        finally:
            if redis is not None:
                redis.terminate()
                redis.wait(10)


class Worker:
    """A process with a client that always has more to do."""

    def __init__(self, server: Server, quota: str, mode: str, number: int, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, server.url, quota, mode, str(number), str(seconds)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(server))

    def go(self) -> "Worker":
        """Lets it start, once it is ready."""
        until(self.process, "ready", 120)
        self.process.stdin.write("go\n")
        return self

    def result(self) -> dict:
        """What it says at its end."""
        try:
            return json.loads(until(self.process, "{", 300))
        except Failed as failure:
            raise Failed(f"{failure}: {self.process.stderr.read()[-600:]}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


class Metered:
    """A quota that knows what asking it has cost."""

    def __init__(self, quota) -> None:
        self.quota, self.cpu, self.exchanges = quota, 0.0, 0

    def exchange(self, reports) -> list:
        """As the quota answers."""
        begin = time.thread_time()
        answers = self.quota.exchange(reports)
        self.cpu += time.thread_time() - begin
        self.exchanges += 1
        return answers

    def __getattr__(self, name: str):
        return getattr(self.quota, name)


def share(server: Server, quota: str, seconds: float) -> dict:
    """Four processes that start together."""
    workers = [Worker(server, quota, "rolling", number, seconds) for number in range(PROCESSES)]
    server.ask("reset")
    for worker in workers:
        worker.go()
    results = [worker.result() for worker in workers]
    arrivals = sorted(server.ask("log")["arrivals"])
    minutes = int(seconds // 60)
    counts = [result["answered"] for result in results]
    part = sum(counts) / PROCESSES
    return {"busiest": busiest(arrivals), "counts": counts, "results": results, "load": os.getloadavg()[0],
            "used": sum(at < arrivals[0] + 60 * minutes for at in arrivals) / (LIMIT * minutes),
            "unfair": max(abs(count - part) for count in counts) / part * 100,
            "cost": sum(result["cpu"] for result in results) / sum(counts) * 1e6,
            "thread": sum(result["thread"] for result in results) / sum(counts) * 1e6}


def killed(server: Server, quota: str, mode: str, seconds: int, after: float) -> dict:
    """Eight processes, one of which dies every second."""
    dice, born = random.Random(5), 0
    server.ask("reset")
    workers = []

    def bear() -> None:
        nonlocal born
        workers.append(FORKS.Process(target=mortal, args=(server.url, quota, mode, born, seconds + after + 60), daemon=True))
        workers[-1].start()
        born += 1

    for _ in range(MORTALS):
        bear()
    for _ in range(seconds):
        time.sleep(1.0)
        victim = workers.pop(dice.randrange(MORTALS))
        victim.kill()
        victim.join()
        bear()
    last = time.monotonic()
    time.sleep(after)
    for worker in workers:
        worker.kill()
        worker.join()
    arrivals = sorted(server.ask("log")["arrivals"])
    flow = best([at - last for at in arrivals])
    return {"arrivals": len(arrivals), "busiest": busiest(arrivals), "flow": flow, "born": born, "load": os.getloadavg()[0],
            "over": max(0, busiest(arrivals) - LIMIT) if mode == "rolling" else overdraft(arrivals),
            "recovered": recovered([at - last for at in arrivals], after)}


def best(times: "list[float]") -> float:
    """How much of the limit was used at best in a minute that began at most so long after the last kill."""
    begins = [quarter / 4 for quarter in range(4 * GRACE + 1)]
    return max(sum(begin <= at < begin + 60 for at in times) for begin in begins) / LIMIT


def recovered(times: "list[float]", end: float, over: float = 15.0) -> "float | None":
    """From how many seconds on all of the refill is used, a quarter of a minute long; None for never."""
    for quarter in range(int((end - over) * 4)):
        begin = quarter / 4
        if sum(begin <= at < begin + over for at in times) >= FULL * over * LIMIT / 60:
            return begin
    return None


def busiest(times: "list[float]", window: float = 60.0) -> int:
    """The most arrivals in any half-open window of that length."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def overdraft(times: "list[float]") -> float:
    """By how many requests a refilling bucket of the limit would have been overdrawn at worst."""
    level, before, worst = float(LIMIT), times[0], 0.0
    for at in times:
        level = min(LIMIT, level + (at - before) * LIMIT / 60) - 1
        before, worst = at, max(worst, -level)
    return worst


def run(bench: Bench) -> Report:
    """Every store that can be had."""
    report = Report(f"One quota of {LIMIT:,} requests per minute for many processes",
                    ["", "busiest 60 s", "used", "each", "µs/prompt asking", "µs/prompt thread", "load"], raw={})
    with stores() as urls:
        if bench.wants("share"):
            shares(bench, urls, report)
        if bench.wants("kills"):
            for mode in ("rolling", "bucket"):
                kills(bench, urls, mode, report)
        if bench.wants("speed"):
            with Server("zero") as server:
                added = report.raw["added"] = cost(bench, server, urls)
            report.figures += [at_most(f"{kind}: µs of CPU added to a prompt at full speed", value, REACH[kind])
                               for kind, value in added.items()]
        if "redis" not in urls:
            report.notes.append("redis-server is not installed: its rows are missing")
    return report


def shares(bench: Bench, urls: dict, report: Report) -> None:
    """Four processes, one store after the other."""
    for kind, url in urls.items():
        with provider() as server:
            found = report.raw[kind] = share(server, url("four"), bench.size(130, 70))
        report.rows.append([f"{PROCESSES} processes, {kind}", f"{found['busiest']:,}", f"{found['used']:.1%}",
                            " ".join(map(str, found["counts"])), f"{found['cost']:.1f}", f"{found['thread']:.1f}",
                            f"{found['load']:.1f}"])
        report.figures += [
            at_most(f"{kind}: requests in the busiest 60 s", found["busiest"], LIMIT),
            at_least(f"{kind}: share of the limit in the busiest 60 s", found["busiest"] / LIMIT, 0.99),
            at_least(f"{kind}: share of the limit used", found["used"], FULL),
            at_most(f"{kind}: a process's distance from its part", found["unfair"], 20, " %"),
            at_most(f"{kind}: µs of asking the quota per prompt", found["cost"], REACH[kind])]


def kills(bench: Bench, urls: dict, mode: str, report: Report) -> None:
    """Eight processes and a murderer, in all stores at the same time."""
    def once(kind: str) -> dict:
        with provider() as server:
            return killed(server, urls[kind](mode), mode, bench.size(60, 15), bench.size(66, 66 if mode == "rolling" else 36))

    with ThreadPoolExecutor(len(urls)) as pool:
        found = dict(zip(urls, pool.map(once, urls)))
    for kind, dead in found.items():
        report.raw[f"{kind} {mode}"] = dead
        report.rows.append([f"{MORTALS} processes, one killed a second, {kind}, {mode}", f"{dead['busiest']:,}",
                            f"{dead['flow']:.1%}" if mode == "rolling" else "", f"{dead['born']} processes", "", "",
                            f"{dead['load']:.1f}"])
        report.figures.append(at_most(f"{kind}, {mode}: requests over the limit while processes are killed", dead["over"], 0))
        if mode == "rolling":
            report.figures.append(at_least(f"{kind}, rolling: used in a minute that begins within {GRACE} s of the last kill",
                                           dead["flow"], FULL))
        else:
            late = Figure(f"{kind}, bucket: s from the last kill until all of the refill is used", dead["recovered"],
                          f"<= {GRACE}", dead["recovered"] is not None and dead["recovered"] <= GRACE)
            report.figures.append(late)


def cost(bench: Bench, server: Server, urls: dict) -> "dict[str, float | None]":
    """What a quota adds to the CPU of a prompt."""
    def once(name: str) -> dict:
        quota = urls[name](f"cost{time.monotonic_ns()}") if name in urls else None
        return compete("ours", server, prompts=bench.size(20_000, 4_000), quota=quota)

    found = bench.interleave(["none", *urls], 5, once)
    alone = of(found["none"], "cpu_us", min)
    return {kind: None if alone is None or not found[kind] else of(found[kind], "cpu_us", min) - alone for kind in urls}


def mortal(url: str, quota: str, mode: str, number: int, seconds: float) -> None:
    """A process that has more to do than it will live for."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    from deluge import LLMClient
    client = LLMClient("gpt-4.1-mini", base_url=url, api_key="sk-benchmark", progress=None, quota=quota, limit_mode=mode,
                       max_requests_per_minute=LIMIT, max_tokens_per_minute=10**9, request_timeout=60)
    for _ in client.map((traffic.prompt(number * 1_000_000 + n) for n in range(1_000_000)), timeout=seconds):
        pass


def main(url: str, quota: str, mode: str, number: str, seconds: str) -> None:
    """A worker."""
    from deluge import LLMClient
    from deluge.quota import open_quota
    asked = Metered(open_quota(quota))
    client = LLMClient("gpt-4.1-mini", base_url=url, api_key="sk-benchmark", progress=None, quota=asked, limit_mode=mode,
                       max_requests_per_minute=LIMIT, max_tokens_per_minute=10**9, request_timeout=60)
    print("ready", flush=True)
    sys.stdin.readline()
    first = int(number) * 1_000_000
    prompts = (traffic.prompt(first + n) for n in range(1_000_000))
    answered = sum(not response.is_error for response in client.map(prompts, timeout=float(seconds)))
    taken = sum(cpu_of(thread) for thread in threading.enumerate() if thread.name == "deluge-quota")
    print(json.dumps({"answered": answered, "cpu": asked.cpu, "exchanges": asked.exchanges, "thread": taken}), flush=True)


def cpu_of(thread: threading.Thread) -> float:
    """The CPU seconds that a thread of ours has taken so far."""
    return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


if __name__ == "__main__":
    main(*sys.argv[1:])
