"""Ctrl-C with requests of 5 s in flight.

200 prompts: half are answered at once, half hang for 5 s when the signal comes. Another thread's call on the same
client is in flight too and must end well. A second call is interrupted the same way. Times are from the signal to the
exception.
Reach: back in <= 1 s with `Interrupted(KeyboardInterrupt)` and the finished responses; a second Ctrl-C works; others
go on.
"""
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import traffic  # noqa: E402
from harness import Bench, Failed, Figure, Report, Server, at_most, environment, until  # noqa: E402

PROMPTS = 200
OTHERS = (1_001, 1_003)


def run(bench: Bench) -> Report:
    """One child, two signals."""
    with Server("mixed", seconds=5) as server:
        child = subprocess.Popen([sys.executable, __file__, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, env=environment())
        try:
            first = interrupted(child, server, PROMPTS + len(OTHERS))
            second = interrupted(child, server, 2 * PROMPTS + len(OTHERS))
            others = json.loads(until(child, "{", 20))["others"]
            ended = time.monotonic()
            child.wait(20)
            left = time.monotonic() - ended
        except Failed as failure:
            child.kill()
            raise Failed(f"{failure}: {child.stderr.read()[-600:]}") from None
        duplicates = server.ask("stats")["duplicates"]
    figures = [at_most("s from the first Ctrl-C to the exception", first["seconds"], 1),
               at_most("s from the second Ctrl-C to the exception", second["seconds"], 1),
               Figure("finished responses handed over", first["finished"], str(PROMPTS // 2),
                      first["finished"] == PROMPTS // 2),
               Figure("answers of another thread's call", others, str(len(OTHERS)), others == len(OTHERS)),
               at_most("s to leave the interpreter", left, 1),
               Figure("sent again after a good answer", duplicates, "0", duplicates == 0)]
    return Report("Ctrl-C with 5 s requests in flight", figures=figures)


def interrupted(child: "subprocess.Popen[str]", server: Server, requests: int) -> dict:
    """Wait until so many requests came, press Ctrl-C, and time the child's word of it."""
    deadline = time.monotonic() + 30
    while server.ask("stats")["requests"] < requests:
        if time.monotonic() > deadline or child.poll() is not None:
            raise Failed("the requests did not come")
        time.sleep(0.02)
    time.sleep(0.3)                                       # the fast half is delivered
    pressed = time.monotonic()
    child.send_signal(signal.SIGINT)
    said = json.loads(until(child, "{", 20))
    return {**said, "seconds": said["at"] - pressed}


def call(client, start: int) -> None:
    """A call that is interrupted; says when it returned and with what."""
    from deluge import Interrupted
    try:
        client.process_prompts([traffic.prompt(n) for n in range(start, start + PROMPTS)], show_progress=False)
        answers = []
    except Interrupted as stop:
        answers = stop.responses
        assert isinstance(stop, KeyboardInterrupt) and len(answers) == PROMPTS
    finished = sum(answer is not None and not answer.is_error for answer in answers)
    print(json.dumps({"at": time.monotonic(), "finished": finished}), flush=True)


def main(url: str) -> None:
    """The child."""
    from deluge import LLMClient
    client = LLMClient("gpt-4.1-mini", base_url=url, api_key="sk-benchmark", progress=None,
                       max_tokens_per_minute=10**12, max_concurrent_requests=2 * PROMPTS,
                       max_requests_per_minute=10**9, request_timeout=60)
    found: list = []
    texts = [traffic.prompt(n) for n in OTHERS]
    other = threading.Thread(target=lambda: found.extend(client.process_prompts(texts, show_progress=False)))
    other.start()
    call(client, 0)
    call(client, 2_000)
    other.join()
    print(json.dumps({"others": sum(bool(response.completion) for response in found)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
