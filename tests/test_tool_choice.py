"""``tool_choice=`` on a call: checked, sent on every dialect, part of the key, and what it means for agents."""

from __future__ import annotations

from typing import Any

import pytest
from rehearsing import client_of
from test_agents import add, check_whole, client_for, mul

from deluge import ConfigError, LLMClient, MCPServer, Tool
from deluge.options import tool_names
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

DIALECTS = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock")
# What each dialect says for: required, the function "mul", none.
WORDS: dict[str, tuple[str, Any, Any, Any]] = {
    "openai_chat": ("tool_choice", "required", {"type": "function", "function": {"name": "mul"}}, "none"),
    "openai_responses": ("tool_choice", "required", {"type": "function", "name": "mul"}, "none"),
    "anthropic": ("tool_choice", {"type": "any"}, {"type": "tool", "name": "mul"}, {"type": "none"}),
    "gemini": ("toolConfig", {"functionCallingConfig": {"mode": "ANY"}},
               {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["mul"]}},
               {"functionCallingConfig": {"mode": "NONE"}}),
    "bedrock": ("toolConfig", {"any": {}}, {"tool": {"name": "mul"}}, None),
}


def said(server: RehearsalServer, dialect: str) -> Any:
    found = server.requests[-1].body.get(WORDS[dialect][0])
    return (found or {}).get("toolChoice") if dialect == "bedrock" else found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_is_forced_named_left_open_or_forbidden(rehearsal: RehearsalServer, dialect: str) -> None:
    _, required, named, none = WORDS[dialect]
    with client_for(rehearsal, dialect, sampling_params=None) as client:
        response = client.ask("hello", tools=[add, mul], tool_choice="required")
        assert response.tool_calls and said(rehearsal, dialect) == required
        response = client.ask("hello", tools=[add, mul], tool_choice="mul")
        assert [call.name for call in response.tool_calls] == ["mul"] and said(rehearsal, dialect) == named
        response = client.ask('[[call add {"a": 1, "b": 2}]]', tools=[add, mul], tool_choice="none")
        assert not response.tool_calls and said(rehearsal, dialect) == none
        response = client.ask("hello", tools=[add, mul], tool_choice="auto")
        assert not response.tool_calls and response.completion == "hello"
        response = client.ask("hello", tools=[add, mul])
        assert not response.tool_calls


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_agent_is_forced_in_its_first_round_only(rehearsal: RehearsalServer, dialect: str) -> None:
    _, _, named, none = WORDS[dialect]
    with client_for(rehearsal, dialect, sampling_params=None) as client:
        talk, response = client.run_agent_loop("hello", tools=[add, mul], tool_choice="mul", max_rounds=4)
        check_whole(talk)
        assert [run.call.name for run in response.trajectory.tool_runs] == ["mul"] and not response.is_error
        assert response.trajectory.stop_reason == "answer" and rehearsal.count == 2
        _, silent = client.run_agent_loop('[[call add {"a": 1, "b": 2}]] [[rounds 2]]', tools=[add], tool_choice="none")
        assert not silent.trajectory.tool_runs and rehearsal.count == 3


@pytest.mark.parametrize("options, words", [
    ({"tool_choice": "required"}, "tool_choice 'required' needs tools="),
    ({"tool_choice": "add"}, "'required'; there are no tools to be named, not 'add'"),
    ({"tool_choice": "any", "tools": [add]}, r"or the name of a tool \(add\), not 'any'"),
    ({"tool_choice": "mul", "tools": [add]}, "not 'mul'"), ({"tool_choice": True, "tools": [add]}, "not True"),
    ({"tool_choice": {"type": "function", "function": {"name": "add"}}, "tools": [add]}, "tool_choice is 'auto', 'none', "),
])
def test_what_is_no_choice_says_so(options: dict[str, Any], words: str) -> None:
    with LLMClient("rehearsal-echo", progress=None) as client:
        for ask in (client.ask, client.process_prompts, client.run_agent_loop, client.start_nowait, client.estimate):
            with pytest.raises(ConfigError, match=words):
                ask("hello", **options)  # type: ignore[operator]


def test_auto_and_none_need_no_tools(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        assert client.ask("hello", tool_choice="none").completion == "hello"
        assert client.ask("hello", tool_choice="auto").completion == "hello"
        assert "tool_choice" not in rehearsal.requests[-1].body


@pytest.mark.parametrize("tool, names", [
    (Tool("f"), ["f"]), (MCPServer("weather", url="https://example.com/mcp"), ["weather"]),
    ({"type": "function", "function": {"name": "f"}}, ["f"]), ({"type": "function", "name": "f"}, ["f"]),
    ({"type": "custom", "custom": {"name": "f"}}, ["f"]), ({"type": "web_search"}, ["web_search"]),
    ({"type": "web_search_20250305", "name": "web_search"}, ["web_search"]),
    ({"type": "mcp", "server_label": "docs"}, ["docs"]), ({"toolSpec": {"name": "f"}}, ["f"]),
    ({"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, ["f", "g"]), ({"googleSearch": {}}, []),
])
def test_the_names_by_which_a_tool_may_be_chosen(tool: Any, names: list[str]) -> None:
    assert tool_names(tool) == names


def test_a_choice_is_a_part_of_the_key_and_survives_a_batch(rehearsal: RehearsalServer, tmp_path: Any) -> None:
    from deluge.caches import MemoryCache
    with client_of(rehearsal, cache=MemoryCache(), temperature=0) as client:
        first = client.ask("hello", tools=[add])
        forced = client.ask("hello", tools=[add], tool_choice="required")
        assert not first.tool_calls and forced.tool_calls and rehearsal.count == 2
        assert client.ask("hello", tools=[add], tool_choice="required").local_cache_hit and rehearsal.count == 2
    with client_of(rehearsal, api_key="k") as client:
        [response] = client.process_prompts(["hi"], tools=[add], tool_choice="add", mode="batch", poll_in=0.01,
                                            state=tmp_path / "job.json")
        assert [call.name for call in response.tool_calls] == ["add"]


def test_what_a_model_cannot_be_made_to_do_is_said_once(rehearsal: RehearsalServer, caplog: pytest.LogCaptureFixture) -> None:
    with client_of(rehearsal, "claude-5.5-opus", base_url=rehearsal.url, api_key="k", max_new_tokens=3_000) as client:
        for _ in range(2):
            client.ask("hello", tools=[add], tool_choice="required")
    assert caplog.text.count("tool_choice the model cannot be forced to call a tool") == 1
