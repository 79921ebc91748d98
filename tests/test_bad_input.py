"""Whatever can be wrong with what users give: the class of the error, and the words that help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rehearsing import client_of

from deluge import (
    APIResponse, ConfigError, Conversation, LLMClient, MissingAPIKeyError, RequestTooLargeError, SamplingParams,
    ToolError, UnknownModelError,
)
from deluge.testing import Fault, RehearsalServer, rehearsal

__all__ = ["rehearsal"]


class Memory:
    """A response cache in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, APIResponse] = {}

    def get(self, prompt: Conversation) -> APIResponse | None:
        return self.kept.get(prompt.fingerprint)

    def put(self, prompt: Conversation, response: APIResponse) -> None:
        self.kept[prompt.fingerprint] = response


def quiet(*names: Any, **settings: Any) -> LLMClient:
    return LLMClient(*names, progress=None, **settings)


def yaml_of(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "client.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


PLAIN = "rehearsal-echo"

ROWS: list[tuple[str, Callable[[Path], Any], type[Exception], str]] = [
    # --- the constructor
    ("unknown model", lambda _: quiet("gpt-4.1-minni"), UnknownModelError, r"gpt-4\.1-minni.*did you mean gpt-4\.1-mini"),
    ("unknown fallback", lambda _: quiet(fallback_models=["gpt-4.1-minni"]), UnknownModelError, "gpt-4.1-mini"),
    ("no model", lambda _: quiet([]), ConfigError, "at least one model"),
    ("model of the wrong type", lambda _: quiet(7), ConfigError, "model_names"),
    ("None as model", lambda _: quiet(None), ConfigError, "model_names"),
    ("the same model twice", lambda _: quiet(["gpt-4.1", "gpt-4.1"]), ConfigError, "twice.*gpt-4.1"),
    ("CachePattern to the constructor", lambda _: quiet(cache="system_and_tools"), ConfigError,
     "cache object with get and put, not a CachePattern"),
    ("a cache without put", lambda _: quiet(cache=frozenset()), ConfigError, r"get\(prompt\) and put\(prompt, response\)"),
    ("a cache class", lambda _: quiet(cache=7), ConfigError, "cache"),
    ("unknown argument", lambda _: quiet(max_request_per_minute=5), ConfigError, "unknown argument 'max_request_per_minute'"),
    ("unknown parameter", lambda _: SamplingParams(temprature=1), ConfigError, "unknown argument 'temprature'"),
    ("requests 0", lambda _: quiet(max_requests_per_minute=0), ConfigError, "max_requests_per_minute.*greater than 0"),
    ("requests negative", lambda _: quiet(max_requests_per_minute=-1), ConfigError, "max_requests_per_minute"),
    ("requests nan", lambda _: quiet(max_requests_per_minute=float("nan")), ConfigError, "max_requests_per_minute"),
    ("tokens 0", lambda _: quiet(max_tokens_per_minute=0), ConfigError, "max_tokens_per_minute.*greater than 0"),
    ("slots 0", lambda _: quiet(max_concurrent_requests=0), ConfigError,
     "max_concurrent_requests.*greater than or equal to 1"),
    ("attempts 0", lambda _: quiet(max_attempts=0), ConfigError, "max_attempts"),
    ("timeout 0", lambda _: quiet(request_timeout=0), ConfigError, "request_timeout"),
    ("timeout negative", lambda _: quiet(request_timeout=-3), ConfigError, "request_timeout"),
    ("with_limits 0", lambda _: quiet().with_limits(max_tokens_per_minute=0), ConfigError, "max_tokens_per_minute"),
    ("weights too short", lambda _: quiet(["gpt-4.1", "gpt-4o"], model_weights=[1]), ConfigError, "1 entries for 2 models"),
    ("weights negative", lambda _: quiet(["gpt-4.1", "gpt-4o"], model_weights=[1, -1]), ConfigError, "not negative"),
    ("weights nan", lambda _: quiet(["gpt-4.1", "gpt-4o"], model_weights=[1, float("nan")]), ConfigError, "not negative"),
    ("weights all zero", lambda _: quiet(["gpt-4.1", "gpt-4o"], model_weights=[0, 0]), ConfigError, "at least one weight"),
    ("weights are words", lambda _: quiet(["gpt-4.1", "gpt-4o"], model_weights=["a", "b"]), ConfigError, "model_weights"),
    ("weights are a number", lambda _: quiet(["gpt-4.1", "gpt-4o"], model_weights=3), ConfigError, "model_weights"),
    ("weights are another word", lambda _: quiet(model_weights="dynamite"), ConfigError, "model_weights"),
    ("params too many", lambda _: quiet(sampling_params=[SamplingParams()] * 2), ConfigError, "2 entries for 1 models"),
    ("params of the wrong type", lambda _: quiet(sampling_params=7), ConfigError, "sampling_params"),
    ("temperature 3", lambda _: quiet(temperature=3), ConfigError, "temperature.*less than or equal to 2"),
    ("temperature in params", lambda _: SamplingParams(temperature=-1), ConfigError, "temperature"),
    ("max_new_tokens 0", lambda _: quiet(max_new_tokens=0), ConfigError, "max_new_tokens"),
    ("an unknown effort", lambda _: quiet(reasoning_effort="hard"), ConfigError, "reasoning_effort.*'minimal'"),
    ("top_logprobs 21", lambda _: quiet(logprobs=True, top_logprobs=21), ConfigError, "top_logprobs.*20"),
    ("top_logprobs -1", lambda _: quiet(logprobs=True, top_logprobs=-1), ConfigError, "top_logprobs"),
    ("top_logprobs alone", lambda _: quiet(top_logprobs=5), ConfigError, "top_logprobs needs logprobs=True"),
    ("top_logprobs in params", lambda _: SamplingParams(logprobs=True, top_logprobs=21), ConfigError, "top_logprobs"),
    ("logprobs of a model without", lambda _: quiet(["gpt-4.1", "claude-3-haiku"], logprobs=True), ConfigError,
     "claude-3-haiku does not support logprobs"),
    ("background alone", lambda _: quiet(background=True), ConfigError, "background=True needs use_responses_api=True"),
    ("an unknown display", lambda _: LLMClient(progress="fancy"), ConfigError, "no display 'fancy'.*tqdm"),
    ("base_url without scheme", lambda _: quiet("m", base_url="localhost:8000"), ConfigError, "http://"),
    ("postprocess is no function", lambda _: quiet(postprocess="strip"), ConfigError, "postprocess"),
    # --- files of settings
    ("a YAML list", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, "- 1\n")), ConfigError, "mapping of settings, not list"),
    ("an empty YAML", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, "")), ConfigError, "mapping of settings, not NoneType"),
    ("a YAML tag", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, "name: !!python/object/apply:os.getcwd []\n")), ConfigError,
     "not plain YAML"),
    ("broken YAML", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, "a: [\n")), ConfigError, "not plain YAML"),
    ("YAML of another encoding", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, b"name: \xff\xfe\n")), ConfigError, "UTF-8"),
    ("no such YAML", lambda tmp: LLMClient.from_yaml(tmp / "none.yaml"), ConfigError, "cannot be read.*No such file"),
    ("YAML with an unknown key", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, "modells: [x]\n")), ConfigError, "'modells'"),
    ("YAML with numbers as keys", lambda tmp: LLMClient.from_yaml(yaml_of(tmp, "1: x\n")), ConfigError, "1"),
    ("from_dict of a list", lambda _: LLMClient.from_dict([1]), ConfigError, "mapping"),  # type: ignore[arg-type]
    # --- a call
    ("a missing key", lambda _: quiet().process_prompts(["a"]), MissingAPIKeyError, "OPENAI_API_KEY"),
    ("a missing key of start", lambda _: quiet("claude-3-haiku").start_nowait("a"), ConfigError,
     "ANTHROPIC_API_KEY|anthropic"),
    ("an object as cache of a call", lambda _: quiet(PLAIN).ask("a", cache=Memory()), ConfigError,  # type: ignore[arg-type]
     "CachePattern.*cache object belongs into the constructor"),
    ("an unknown CachePattern", lambda _: quiet(PLAIN).ask("a", cache="all"), ConfigError, "CachePattern"),
    ("an unknown service tier", lambda _: quiet(PLAIN).ask("a", service_tier="gold"), ConfigError,
     "service_tier 'gold'.*flex"),
    ("a tool of the wrong type", lambda _: quiet(PLAIN).ask("a", tools=[7]), ConfigError, "not int"),
    ("tools that are no list", lambda _: quiet(PLAIN).ask("a", tools=7), ConfigError, "tool"),
    ("a schema of the wrong type", lambda _: quiet(PLAIN).ask("a", output_schema=7), ConfigError, "schema"),
    ("timeout of a call", lambda _: quiet(PLAIN).ask("a", timeout=-1), ConfigError, "timeout must be above 0"),
    ("timeout nan", lambda _: quiet(PLAIN).ask("a", timeout=float("nan")), ConfigError, "timeout must be above 0"),
    ("timeout as a word", lambda _: quiet(PLAIN).ask("a", timeout="3"), ConfigError, "timeout"),
    ("params of a call", lambda _: quiet(PLAIN).ask("a", sampling_params={"temperature": 9}), ConfigError, "temperature"),
    ("params of a call as a list", lambda _: quiet(PLAIN).ask("a", sampling_params=[1]), ConfigError, "sampling_params"),
    ("an unknown model of a call", lambda _: quiet(PLAIN).ask("a", model="rehearsal-eco"), UnknownModelError,
     "rehearsal-echo"),
    ("prompts that are a number", lambda _: quiet(PLAIN).process_prompts(7), ConfigError, "of type int"),
    ("prompts that are None", lambda _: quiet(PLAIN).process_prompts(None), ConfigError, "of type NoneType"),
    ("prompts that are bytes", lambda _: quiet(PLAIN).process_prompts(b"abc"), ConfigError, "of type bytes"),
    ("a prompt that is a number", lambda _: quiet(PLAIN).process_prompts(["a", 7]), ConfigError, "prompt 1 .*int"),
    ("a prompt that is None", lambda _: quiet(PLAIN).ask(None), ConfigError, "prompt 0 .*NoneType"),
    ("a prompt of map", lambda _: list(quiet(PLAIN).map(["a", "b", 7])), ConfigError, "prompt 2 .*int"),
    ("a prompt of start", lambda _: quiet(PLAIN).start_nowait(7), ConfigError, "prompt.*int"),
    ("a dict that is no message", lambda _: quiet(PLAIN).process_prompts([{"text": "a"}]), ConfigError, "'text'"),
    ("an unknown role", lambda _: quiet(PLAIN).process_prompts([[{"role": "boss", "content": "a"}]]), ConfigError, "boss"),
    ("an empty conversation", lambda _: quiet(PLAIN).process_prompts([Conversation()]), ConfigError, "no messages"),
    ("an unknown number", lambda _: quiet(PLAIN).wait_for(99), KeyError, "99"),
]


@pytest.mark.parametrize(("wrong", "error", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_mistake_is_said_at_once(
    wrong: Callable[[Path], Any], error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(error, match=words):
        wrong(tmp_path)


def test_a_file_of_the_wrong_kind_runs_no_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = yaml_of(tmp_path, f"name: !!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(ConfigError):
        LLMClient.from_yaml(path)
    assert not mark.exists()


# ---------------------------------------------------------------------- one prompt is wrong, the others run

def test_a_prompt_of_the_wrong_type_costs_nothing(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        with pytest.raises(ConfigError, match="prompt 2 is of type int"):
            client.process_prompts(["a", "b", 3])
        assert client.ask("after").completion == "after"


FAILING = [  # (prompt, settings, kind, words, raised by raise_for_error)
    ("x" * 40_000, {"max_tokens_per_minute": 500}, "too_large", "limit of 500 tokens per minute", RequestTooLargeError),
    ("[[fault 400]]", {}, "bad_request", ".", Exception),
    ("[[fault redirect]]", {"max_attempts": 1}, None, ".", Exception),
    ("[[fault malformed]]", {"max_attempts": 1}, "parse", ".", Exception),
    ("[[fault empty]]", {"max_attempts": 1}, "parse", ".", Exception),
    ("[[fault html]]", {"max_attempts": 1}, "server", ".", Exception),
]


@pytest.mark.parametrize(("prompt", "settings", "kind", "words", "error"), FAILING, ids=[row[0][:20] for row in FAILING])
def test_one_prompt_fails_and_the_others_run(
    rehearsal: RehearsalServer, prompt: str, settings: dict[str, Any], kind: str | None, words: str, error: type[Exception]
) -> None:
    with client_of(rehearsal, max_new_tokens=16, **settings) as client:
        first, failed, last = client.process_prompts(["first", prompt, "last"])
        assert (first.completion, last.completion) == ("first", "last")
        assert failed.is_error and failed.error_kind == kind if kind else failed.is_error
        import re
        assert re.search(words, failed.error_message or "")
        with pytest.raises(error):
            failed.raise_for_error()


@pytest.mark.parametrize("prompt", ["caf\ud83d\ude00 \ud800 lone", "\udfff", "null \x00 byte", "\u2028"], ids=ascii)
def test_odd_characters_arrive_or_fail_alone(rehearsal: RehearsalServer, prompt: str) -> None:
    with client_of(rehearsal, max_attempts=2) as client:
        odd, plain = client.process_prompts([prompt, "plain"])
        assert plain.completion == "plain"
        assert odd.completion is not None or odd.error_kind == "input"
        assert not odd.is_error or "surrogate" in (odd.error_message or "")


def test_a_prompt_of_20_megabytes(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_new_tokens=16, request_timeout=60) as client:
        big, small = client.process_prompts(["x" * 20_000_000, "small"])
        assert small.completion == "small" and big.completion == "x" * 64 and big.input_tokens > 4_000_000


def test_a_tool_result_that_is_not_serialisable(rehearsal: RehearsalServer) -> None:
    with pytest.raises(ToolError, match="object"):
        Conversation().user("q").with_tool_result("call_1", object())
    with client_of(rehearsal) as client:
        assert client.process_prompts(["a", "b"], return_completions_only=True) == ["a", "b"]


# ---------------------------------------------------------------------- hooks and caches that raise

def broken(*arguments: Any) -> Any:
    raise ZeroDivisionError("my own bug")


def wrong_type(response: APIResponse) -> Any:
    return response.completion


class PutRaises(Memory):
    def put(self, prompt: Conversation, response: APIResponse) -> None:
        raise OSError("disk full")


class GetRaises(Memory):
    def get(self, prompt: Conversation) -> APIResponse | None:
        raise OSError("disk gone")


@pytest.mark.parametrize(("settings", "words"), [
    ({"postprocess": broken}, "ZeroDivisionError: my own bug"),
    ({"postprocess": wrong_type}, "postprocess returned str"),
])
def test_a_hook_that_raises_keeps_the_paid_answer(rehearsal: RehearsalServer, settings: Any, words: str) -> None:
    with client_of(rehearsal, **settings) as client:
        answers = client.process_prompts([f"p{n}" for n in range(10)])
        handle = client.start_nowait("h").result(5)
        assert len(answers) == 10 and rehearsal.count == 11
        for answer in (*answers, handle):
            assert answer.is_error and answer.error_kind == "postprocess" and words in str(answer.error_message)
            assert answer.completion and answer.usage.output_tokens and answer.status_code == 200
        assert [answer.completion for answer in answers] == [f"p{n}" for n in range(10)]


@pytest.mark.parametrize("cache", [GetRaises(), PutRaises()])
def test_a_cache_that_fails_is_a_cache_that_has_nothing(rehearsal: RehearsalServer, cache: Any) -> None:
    with client_of(rehearsal, cache=cache) as client:
        assert client.process_prompts(["a", "b"], return_completions_only=True) == ["a", "b"]


@pytest.mark.parametrize("call", [
    lambda client: client.process_prompts(["x"]), lambda client: client.ask("x"), lambda client: list(client.map(["x"])),
    lambda client: client.start_nowait("x").result(), lambda client: client.wait_for(client.start("x")),
    lambda client: client.stream("x"), lambda client: list(client.as_completed([client.start("x")])),
    lambda client: client.wait_for_all([client.start("x")]), lambda client: client.drain(),
], ids=["process_prompts", "ask", "map", "result", "wait_for", "stream", "as_completed", "wait_for_all", "drain"])
def test_a_hook_that_calls_the_blocking_client(rehearsal: RehearsalServer, call: Callable[[LLMClient], Any]) -> None:
    client: LLMClient

    def hook(response: APIResponse) -> None:
        if response.prompt is not None and response.completion != "x":
            call(client)

    with client_of(rehearsal, postprocess=hook) as client:
        answer = client.process_prompts(["a"], timeout=20)[0]
        assert answer.error_kind == "postprocess" and "called from a deluge hook" in str(answer.error_message)
        assert answer.completion == "a"


def test_a_hook_may_start_without_waiting(rehearsal: RehearsalServer) -> None:
    started: list[Any] = []
    client: LLMClient

    def hook(response: APIResponse) -> None:
        if response.completion == "a":
            started.append(client.start("b"))

    with client_of(rehearsal, postprocess=hook) as client:
        assert client.ask("a").completion == "a"
        assert started[0].result(5).completion == "b"


def test_a_hook_may_close_the_client(rehearsal: RehearsalServer) -> None:
    client: LLMClient

    def hook(response: APIResponse) -> None:
        client.close()

    client = client_of(rehearsal, postprocess=hook)
    assert client.process_prompts(["a"], timeout=10)[0].completion == "a"
    client.close()


# ---------------------------------------------------------------------- what the wire may do

def test_the_key_does_not_follow_a_redirect(rehearsal: RehearsalServer) -> None:
    with RehearsalServer(latency=0.0) as elsewhere:
        rehearsal.set_script([Fault("redirect", url=elsewhere.url + "/v1/chat/completions")])
        with client_of(rehearsal, api_key="sk-secret", max_attempts=1) as client:
            answer = client.ask("a")
            assert answer.is_error and answer.status_code == 307
        assert elsewhere.count == 0 and elsewhere.accepted == 0


def test_a_body_without_end_is_bounded(rehearsal: RehearsalServer) -> None:
    rehearsal.set_script([Fault("endless", size=1 << 20)])
    with client_of(rehearsal, max_attempts=1, request_timeout=20) as client:
        answer = client.ask("a")
        assert answer.is_error and answer.error_kind in ("parse", "connection", "timeout")


@pytest.mark.parametrize("hard", ["4096", "100"])
def test_more_slots_than_file_descriptors(hard: str) -> None:
    """The soft limit is raised, or what there is is used; every prompt is answered and no attempt is burned."""
    program = """
import logging, resource, sys
logging.basicConfig()
from deluge import LLMClient
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
client = LLMClient("m", base_url=sys.argv[2], progress=None, max_requests_per_minute=None, max_tokens_per_minute=None,
                   max_concurrent_requests=200, max_attempts=1)
answers = client.process_prompts([f"p {n}" for n in range(300)])
print(sum(not a.is_error for a in answers), {a.error_message for a in answers if a.is_error})
client.close()
"""
    with RehearsalServer(latency=0.05) as server:
        ran = subprocess.run([sys.executable, "-c", program, hard, server.base_url], capture_output=True, text=True,
                             timeout=60, env=_env())
    assert ran.stdout.startswith("300 "), ran.stdout + ran.stderr
    assert hard != "100" or "file descriptors" in ran.stderr


# ---------------------------------------------------------------------- the command line

def test_lines_that_are_not_json_are_named_and_the_others_run(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt": "a"}\n{"prompt": \n{"prompt": "b"}\n')
    ran = _run("run", str(source), "-m", "rehearsal-echo", "-o", str(out), "-q")
    assert ran.returncode == 1, ran.stderr
    records = sorted((json.loads(line) for line in out.read_text().splitlines()), key=lambda record: record["index"])
    assert [record["completion"] for record in records] == ["a", None, "b"]
    assert records[1]["error_kind"] == "input" and "line 2" in records[1]["error_message"]


def test_an_output_that_cannot_be_written_is_said_before_anything_is_sent(tmp_path: Path, rehearsal: RehearsalServer) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "a"}\n')
    for out in (tmp_path / "none" / "out.jsonl", tmp_path):
        ran = _run("run", str(source), "-m", "m", "-o", str(out), "-q", "--base-url", rehearsal.base_url)
        assert ran.returncode == 2 and str(out) in ran.stderr, ran.stderr
    old = tmp_path / "old.jsonl"
    old.write_text("old\n")
    ran = _run("run", str(source), "-m", "m", "-o", str(old), "-q", "--base-url", rehearsal.base_url)
    assert ran.returncode == 2 and "--overwrite" in ran.stderr and old.read_text() == "old\n"
    assert rehearsal.count == 0


def _env() -> dict[str, str]:
    here = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "deluge", *arguments], capture_output=True, text=True, timeout=60, env=_env())
