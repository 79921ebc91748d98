"""One quota for four processes, in a file and in Redis; and eight processes that are killed at random.

6,000 requests per minute and a server that answers after 50 ms. Four hungry processes for two (quick: one) minutes: the
busiest 60 s and each process's count, by the server's log and their own words. Then eight processes for a minute, one of
which is killed (SIGKILL) every second and replaced, once for a rolling minute and once for a refilling bucket, whose even
flow shows when the share of the last victims is back. The cost: the CPU of asking the quota over the prompts of its
process, and all that is added to a prompt at full speed.
Reach: never over the limit, >= 99 % of it in the busiest minute, >= 97 % used, each process within 20 % of its part;
<= 15 µs per prompt (file), <= 30 µs (Redis); all of the refill within 5 s of the last kill.
"""
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Report, Server, at_least, at_most, compete, environment, of, until  # noqa: E402

LIMIT, PROCESSES, MORTALS = 6_000, 4, 8
REACH = {"file": 15, "redis": 30}


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
        until(self.process, "ready", 30)
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
        self.said = self.process.stderr.read()
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
    return {"busiest": busiest(arrivals), "counts": counts, "results": results,
            "used": sum(at < arrivals[0] + 60 * minutes for at in arrivals) / (LIMIT * minutes),
            "unfair": max(abs(count - part) for count in counts) / part * 100,
            "cost": sum(result["cpu"] for result in results) / sum(counts) * 1e6}


def killed(server: Server, quota: str, mode: str, seconds: int, after: float) -> dict:
    """Eight processes, one of which dies every second."""
    dice, born, said = random.Random(5), 0, []
    server.ask("reset")
    workers = []
    for _ in range(MORTALS):
        workers.append(Worker(server, quota, mode, born, seconds + after + 60))
        born += 1
    for worker in workers:
        worker.go()
    spare = [Worker(server, quota, mode, number, seconds + after + 60) for number in range(born, born + 3)]
    born += 3
    for second in range(seconds):
        time.sleep(1.0)
        victim = workers.pop(dice.randrange(MORTALS))
        victim.kill()
        said.append(victim.said)
        workers.append(spare.pop(0).go())
        spare.append(Worker(server, quota, mode, born, seconds + after + 60))
        born += 1
    last = time.monotonic()
    time.sleep(after)
    for worker in workers + spare:
        worker.kill()
        said.append(worker.said)
    arrivals = sorted(server.ask("log")["arrivals"])
    flow = sum(last + 5 <= at < last + after for at in arrivals) / (after - 5) / (LIMIT / 60)
    return {"arrivals": len(arrivals), "busiest": busiest(arrivals), "over": overdraft(arrivals), "flow": flow, "born": born,
            "said": sorted(filter(None, said))}


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
    seconds = bench.size(130, 70)
    rows, figures, raw = [], [], {}
    with Server("latency", seconds=0.05) as server, stores() as urls:
        for kind, url in urls.items():
            found = raw[kind] = share(server, url("four"), seconds)
            rows.append([f"{PROCESSES} processes, {kind}", f"{found['busiest']:,}", f"{found['used']:.1%}",
                         " ".join(map(str, found["counts"])), f"{found['cost']:.1f}"])
            figures += [at_most(f"{kind}: requests in the busiest 60 s", found["busiest"], LIMIT),
                        at_least(f"{kind}: share of the limit in the busiest 60 s", found["busiest"] / LIMIT, 0.99),
                        at_least(f"{kind}: share of the limit used", found["used"], 0.97),
                        at_most(f"{kind}: a process's distance from its part", found["unfair"], 20, " %"),
                        at_most(f"{kind}: µs of asking the quota per prompt", found["cost"], REACH[kind])]
            for mode in ("rolling", "bucket"):
                dead = raw[kind + mode] = killed(server, url(mode), mode, bench.size(60, 15), bench.size(66, 25))
                over = max(0, dead["busiest"] - LIMIT) if mode == "rolling" else dead["over"]
                rows.append([f"{MORTALS} processes, one killed a second, {kind}, {mode}", f"{dead['busiest']:,}",
                             f"{dead['flow']:.1%} after 5 s", f"{dead['born']} processes", ""])
                figures.append(at_most(f"{kind}, {mode}: requests over the limit while processes are killed", over, 0))
                if mode == "bucket":
                    figures.append(at_least(f"{kind}: share of the refill used from 5 s after the last kill", dead["flow"],
                                            0.97))
    with Server("zero") as server, stores() as urls:
        added = raw["added"] = cost(bench, server, urls)
    figures += [at_most(f"{kind}: µs of CPU added to a prompt at full speed", value, REACH[kind])
                for kind, value in added.items()]
    notes = [] if "redis" in urls else ["redis-server is not installed: its rows are missing"]
    return Report(f"One quota of {LIMIT:,} requests per minute for many processes",
                  ["", "busiest 60 s", "used", "each", "µs/prompt"], rows, figures, notes, raw)


def cost(bench: Bench, server: Server, urls: dict) -> "dict[str, float | None]":
    """What a quota adds to the CPU of a prompt."""
    def once(name: str) -> dict:
        quota = urls[name](f"cost{time.monotonic_ns()}") if name in urls else None
        return compete("ours", server, prompts=bench.size(20_000, 4_000), quota=quota)

    found = bench.interleave(["none", *urls], 5, once)
    alone = of(found["none"], "cpu_us", min)
    return {kind: None if alone is None or not found[kind] else of(found[kind], "cpu_us", min) - alone for kind in urls}


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
    print(json.dumps({"answered": answered, "cpu": asked.cpu, "exchanges": asked.exchanges}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
