"""In a mixed pool each provider is sent the user's headers but for those that speak to another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rehearsing import UNLIMITED

from deluge import LLMClient
from deluge.dialects._headers import meant_for
from deluge.models import register_model
from deluge.models.registry import forget, get_model
from deluge.testing import RehearsalServer

EXTRA = {
    "anthropic-beta": "a", "Anthropic-Workspace-Id": "w", "OpenAI-Organization": "o", "X-Goog-User-Project": "g",
    "x-amzn-bedrock-trace": "t", "X-Api-Key": "k", "api-key": "z", "HTTP-Referer": "r", "X-Title": "d", "X-Team": "blue",
    "OpenAI-Beta": None,
}


@pytest.mark.parametrize("name, wanted", [
    ("claude-5-opus", {"anthropic-beta", "Anthropic-Workspace-Id", "X-Api-Key"}),
    ("claude-5-opus-vertex", {"anthropic-beta", "Anthropic-Workspace-Id"}),
    ("claude-5-opus-bedrock", {"anthropic-beta", "Anthropic-Workspace-Id", "x-amzn-bedrock-trace"}),
    ("gpt-6-luna", {"OpenAI-Organization", "OpenAI-Beta"}),
    ("gpt-6-luna-azure", {"OpenAI-Organization", "OpenAI-Beta", "api-key"}),
    ("gemini-3.8-flash", {"X-Goog-User-Project"}), ("grok-4.7", set()), ("kimi-k2.6", set()), ("vllm:any", set()),
    ("openrouter:x/y", {"HTTP-Referer", "X-Title"}),
])
def test_what_is_anothers_stays_out(name: str, wanted: set[str]) -> None:
    pool = [get_model(one) for one in (
        "claude-5-opus", "claude-5-opus-bedrock", "gpt-6-luna", "gpt-6-luna-azure", "gemini-3.8-flash", "grok-4.7",
        "openrouter:x/y", name,
    )]
    assert set(meant_for(get_model(name), pool, EXTRA)) == wanted | {"X-Team"}
    alone = meant_for(get_model(name), [get_model(name)], EXTRA)
    assert set(alone) == set(EXTRA), "a gateway may want any of them"


@pytest.fixture
def pool() -> Iterator[tuple[RehearsalServer, list[str]]]:
    with RehearsalServer(latency=0.0) as server:
        register_model("our-claude", provider="anthropic", name="claude-5", base_url=server.base_url, supports_tools=True)
        register_model("our-gpt", provider="openai", name="gpt-5", base_url=server.base_url, supports_tools=True)
        yield server, ["our-claude", "our-gpt"]
        forget("our-claude", "our-gpt")


def test_a_mixed_pool_on_the_wire(pool: tuple[RehearsalServer, list[str]]) -> None:
    server, names = pool
    extra = {"anthropic-beta": "one-1,two-2", "OpenAI-Organization": "org", "X-Team": "blue", "Accept": None}
    with LLMClient(names, api_key="secret", extra_headers=extra, progress=None, **UNLIMITED) as client:
        assert not any(response.is_error for response in client.process_prompts(["a", "b", "c", "d"]))
        client.ask("e", model="our-gpt").raise_for_error()
    seen = {request.body["model"]: request.headers for request in server.requests}
    assert seen["claude-5"]["anthropic-beta"] == "one-1,two-2" and "openai-organization" not in seen["claude-5"]
    assert seen["gpt-5"]["openai-organization"] == "org" and "anthropic-beta" not in seen["gpt-5"]
    assert all(headers["x-team"] == "blue" and headers["accept"] == "*/*" for headers in seen.values())
