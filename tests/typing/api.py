"""Every public name in use, with the types that an editor should show. Checked by ``mypy --strict``, never run."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Optional, Union

from typing_extensions import assert_type

import deluge
from deluge import (
    Adaptation, AgentFuture, AgentRound, APIConnectionError, APIError, APIResponse, APIStatusError, APITimeoutError,
    Attempt, Audio, AuthenticationError, BadRequestError, BatchError, BatchJob, BatchPart, BatchStatus,
    BatchTimeoutError, BudgetExceededError, CachePattern, CancelledError, ClosedError, ConfigError, ContentFilterError,
    ContextLengthError, Conversation, CooldownRules, DelugeError, EmbeddingError,
    Estimate, File, FileQuota, Image, InputError,
    InternalServerError, Interrupted, JournalError, LaneLimits, Limits, LLMClient, MCPError, MCPServer, Message,
    MissingAPIKeyError, Model, NotFoundError, OverloadedError, Part, PermissionDeniedError, PostprocessError, Price,
    Provider, QuotaExhaustedError, Ranked, RateLimitError, Raw, RedisQuota, Refusal, RequestTooLargeError,
    ResponseError, ResponseFuture, ResponseParseError, SamplingParams, StatusSnapshot, StatusTracker, StreamDelta, Text,
    Thinking, Tool, ToolCall, ToolError, ToolResult, ToolRun, Trajectory, UnknownModelError, Usage, find_models,
    get_model, register_model, register_provider,
)
from deluge.testing import RehearsalServer
from deluge.worklist import RecordWriter, Row, read_rows, record

assert_type(deluge.__version__, str)


# -- a client and its calls -------------------------------------------------------------------------------------------

client = LLMClient(
    ["rehearsal-echo", "rehearsal-slow"], max_requests_per_minute=10, sampling_params=[SamplingParams(temperature=0.1)],
    model_weights=[1, 2], api_key={"openai": "k"}, progress=None,
)
assert_type(client, LLMClient)
assert_type(LLMClient.from_dict({"model_names": ["rehearsal-echo"]}), LLMClient)
assert_type(LLMClient.from_yaml("client.yaml"), LLMClient)
assert_type(client.to_dict(), dict[str, Any])
assert_type(client.copy(temperature=0.0), LLMClient)
assert_type(client.with_model("rehearsal-echo").with_models(["rehearsal-echo"]), LLMClient)
assert_type(client.with_limits(max_requests_per_minute=5), LLMClient)
assert_type(client._select_model(), tuple[str, SamplingParams])
assert_type(client.models, list[str])
assert_type(client.open(total=3), LLMClient)
assert_type(client.tracker, StatusTracker)
assert_type(client.status(), StatusSnapshot)
assert_type(client.limits(), tuple[LaneLimits, ...])
assert_type(client.estimate(["one", "two"], sample=1, service_tier="flex"), Estimate)
assert_type(LLMClient("m", adaptation=Adaptation(cooldown=CooldownRules(first=1.0))), LLMClient)

assert_type(client.process_prompts(["a", "b"]), list[APIResponse])
assert_type(client.process_prompts(["a"], journal="run.jsonl", durable="each", retry_failed=True), list[APIResponse])
assert_type(client.process_prompts("a", return_completions_only=True), list[Optional[str]])
assert_type(client.process_prompts_sync(["a"], timeout=3.0, prefer_model="last", tool_choice="auto"), list[APIResponse])
assert_type(client.map(iter(["a"]), ordered=False), Iterator[APIResponse])
assert_type(client.map(read_rows("work.jsonl")), Iterator[APIResponse])
assert_type(client.ask("a", output_schema={"type": "object"}, cache="automatic"), APIResponse)


async def view() -> None:
    """The one async door."""
    answers = await client.process_prompts_async(["a"])
    assert_type(answers[0], Union[APIResponse, str, None])
    assert_type(await client.start_nowait("a"), APIResponse)


assert_type(client.embed(["a"], "rehearsal-embed", dimensions=8, input_type="query", journal="vectors.jsonl"), Any)
assert_type(client.rerank("q", ["a"], "rehearsal-rerank", top_n=1, timeout=3.0), list[Ranked])


# -- handles and streams ----------------------------------------------------------------------------------------------

handle = client.start("a")
assert_type(handle, ResponseFuture)
future: concurrent.futures.Future[APIResponse] = client.start_nowait("b", model="rehearsal-slow")
assert_type(handle.task_id, int)
assert_type(handle.result(timeout=1), APIResponse)
assert_type(handle.cancel(), bool)
assert_type(client.wait_for(handle.task_id), APIResponse)
assert_type(client.wait_for_all([handle]), list[APIResponse])
assert_type(client.as_completed(), Iterator[tuple[int, APIResponse]])
assert_type(client.stream("a"), APIResponse)
assert_type(client.stream_chat("a"), Generator[Union[StreamDelta, APIResponse], None, None])

with LLMClient("rehearsal-echo") as scoped:
    assert_type(scoped, LLMClient)
    scoped.reset_tracker()
    scoped.close()


# -- responses --------------------------------------------------------------------------------------------------------

response = client.ask("a").raise_for_error()
assert_type(response, APIResponse)
assert_type(response.completion, Optional[str])
assert_type(response.usage, Usage)
assert_type(response.usage + response.usage, Usage)
assert_type(response.cost, Optional[float])
assert_type(response.attempts, tuple[Attempt, ...])
assert_type(response.tool_calls, tuple[ToolCall, ...])
assert_type(response.metadata, Optional[Mapping[str, Any]])
assert_type(response.error, Optional[ResponseError])
assert_type(response.prompt, Optional[Conversation])
assert_type(response.possibly_billed, bool)
response.completion = "changed"


def shortened(answer: APIResponse) -> APIResponse | None:
    """A postprocess hook."""
    return answer if answer.is_error else None


hooked = LLMClient("rehearsal-echo", postprocess=shortened)


# -- prompts and tools ------------------------------------------------------------------------------------------------

talk = Conversation().system("S").user("u", image=Image(url="https://example.org/a.png")).ai("a")
assert_type(talk, Conversation)
assert_type(talk.fingerprint, str)
assert_type(talk.with_response(response), Conversation)
assert_type(Message.user("x").with_part(Text("y")), Message)
parts: list[Part] = [
    Text("t"), Image(data=b"x"), File(url="https://example.org/a.pdf"), Audio(data=b"x"), Thinking("t"), Refusal("no"),
    ToolCall("1", "f", {}), ToolResult("1", "r"), Raw("openai_chat", {}),
]
tool = Tool("look_up", "Finds a word", {"type": "object", "properties": {}})
assert_type(Tool.from_function(len, name="size"), Tool)
assert_type(Tool.from_mcp("docs", "https://example.org/mcp", token="t", tool_name="search"), Tool)
assert_type(Tool.from_mcp(command="docs", args=["--fast"], env={"A": "b"}), list[Tool])
assert_type(Tool.from_mcp_config({"mcpServers": {}}), list[Tool])
assert_type(Tool("size", "", {"word": str}, len).result_for(ToolCall("1", "size", {"word": "x"})), ToolResult)
assert_type(Image.of("a.png"), Image)
assert_type(File.of(b"x").size, Optional[int])
assert_type(Message.user("x", image="a.png", file=b"x").with_audio("a.wav"), Message)
assert_type(Conversation.from_openai_chat([{"role": "user", "content": "x"}]).count_tokens(), int)
assert_type(Conversation.from_anthropic([], system="S"), Conversation)
assert_type(Conversation.from_unknown([])[0], Conversation)
server = MCPServer("docs", url="https://example.org/mcp")
assert_type(client.process_prompts(["a"], tools=[tool, server]), list[APIResponse])
pattern: CachePattern = "tools_only"


# -- agents -----------------------------------------------------------------------------------------------------------

assert_type(client.run_agent_loop("x", tools=[tool], max_rounds=3, timeout=5), tuple[Conversation, APIResponse])
agent = client.start_agent_loop_nowait(talk, tools=[len], on_text_delta=lambda delta: print(delta.text))
assert_type(agent, AgentFuture)
assert_type(client.wait_for_agent_loop(agent), tuple[Conversation, APIResponse])
assert_type(client.process_agent_loops(["x"], max_concurrent_agents=2), list[tuple[Conversation, APIResponse]])
trajectory: Trajectory = response.trajectory
assert_type(trajectory.rounds, tuple[AgentRound, ...])
assert_type(trajectory[0].tool_runs, tuple[ToolRun, ...])


# -- models -----------------------------------------------------------------------------------------------------------

assert_type(get_model("gpt-4.1"), Model)
assert_type(get_model("gpt-4.1").price, Price)
assert_type(get_model("gpt-4.1").provider, Provider)
assert_type(get_model("gpt-4.1").limits, Limits)
find_models("gpt"), register_model, register_provider

shared = LLMClient("rehearsal-echo", quota=FileQuota("/tmp/account.quota", name="team", processes=4))
assert_type(RedisQuota("redis://127.0.0.1/0", name="team", prefix="us").url, str)


# -- errors -----------------------------------------------------------------------------------------------------------

errors: tuple[type[DelugeError], ...] = (
    APIConnectionError, APIError, APIStatusError, APITimeoutError, AuthenticationError, BadRequestError,
    BudgetExceededError, CancelledError, ClosedError, ConfigError, ContentFilterError, ContextLengthError, InputError,
    InternalServerError, MCPError, MissingAPIKeyError, NotFoundError, OverloadedError, PermissionDeniedError,
    PostprocessError, QuotaExhaustedError, RateLimitError, RequestTooLargeError, ResponseError, ResponseParseError,
    ToolError, UnknownModelError,
)
try:
    response.raise_for_error()
except RateLimitError as error:
    assert_type(error.status_code, Optional[int])
except EmbeddingError as some:
    assert_type(some.responses, list[Any])
except JournalError as full:
    assert_type(full.unwritten, int)
    assert_type(full.path, str)
except Interrupted as stop:
    assert_type(stop.responses, list[Any])


# -- work lists and rehearsal -----------------------------------------------------------------------------------------

for row in read_rows("work.csv", column="text", limit=3):
    assert_type(row, Row)
with RecordWriter("out.jsonl", overwrite=True) as writer:
    writer.write(record(response, id="x"))
with RehearsalServer(latency=0.1) as rehearsal:
    assert_type(rehearsal.base_url, str)

job = client.submit_batch_job(["a"], state="job.json", batch_size=10)
assert_type(job, BatchJob)
assert_type(client.wait_for_batch_job(job, resubmit=True), list[APIResponse])
assert_type(client.process_prompts(["a"], mode="batch"), list[APIResponse])
batch_status = client.batch_status("job.json")
assert_type(batch_status, BatchStatus)
assert_type(batch_status.parts, tuple[BatchPart, ...])
assert_type(client.cancel_batch_job(job), BatchStatus)
try:
    client.wait_for_batch_job(job, timeout=1.0)
except BatchTimeoutError as later:
    assert_type(later.state, str)
except BatchError as refused:
    assert_type(refused.retry, bool)
