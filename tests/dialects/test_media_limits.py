"""Media that a provider is known to refuse are refused before anything is sent; text files go as each takes them."""

from __future__ import annotations

from typing import Any

import pytest

from deluge import Audio, Conversation, File, Image, InputError, get_model
from deluge._plugins import load
from deluge.models.model import Model, Provider
from deluge.params import SamplingParams
from deluge.prompt import ToolResult
from deluge.request import RequestContext, RequestOptions, RequestTemplate

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def picture(side: int = 2, more: int = 0) -> Image:
    return Image(PNG + side.to_bytes(4, "big") * 2 + b"\0" * more)


def build(model: Model, prompt: Conversation) -> bytes:
    dialect = model.dialect or model.provider.dialect
    template = RequestTemplate(model, SamplingParams(), RequestOptions(), "https://h.example", "k", dialect)
    body: bytes = load("dialects", dialect).build(RequestContext(prompt.freeze(), template, 1.0)).body
    return body


@pytest.mark.parametrize("model, part, words", [
    ("claude-4.6-sonnet", picture(more=6_000_000), "the image has 6,000,024 bytes; anthropic takes 5,242,880"),
    ("claude-4.6-sonnet", picture(9_000), "9000 x 9000 pixels; anthropic takes 8000 on a side"),
    ("claude-4.6-sonnet", Image(b"BM" + b"\0" * 20, media_type="image/bmp"), "anthropic takes images of type image/gif"),
    ("claude-4.6-sonnet", File(b"%PDF-" + b"\0" * 25_000_000), "this prompt are 33,333,340 bytes in base64; anthropic"),
    ("claude-4.6-sonnet", File(b"\0\1", media_type="application/msword"), "takes PDF and text files, not application/msword"),
    ("claude-4.6-sonnet-bedrock", File(b"a" * 4_600_000), "the file has 4,600,000 bytes; bedrock takes 4,500,000"),
    ("grok-4", picture(more=21_000_000), "xai takes 20,971,520"),
    ("gemini-3-flash-preview", File(b"\0", media_type="application/msword"), "Gemini takes PDF and text files"),
    ("gemini-3-flash-preview", File(b"%PDF-" + b"\0" * 50_000_000), "google takes 50,000,000"),
    ("gpt-4.1-mini", Image(b"<svg/>", media_type="image/svg+xml"), "openai takes images of type"),
    ("gpt-4.1-mini", File(b"\xff\xfe", media_type="text/csv", name="a.csv"), "a.csv of type text/csv is not UTF-8"),
])
def test_what_is_known_to_be_refused(model: str, part: Any, words: str) -> None:
    row = get_model(model)
    with pytest.raises(InputError, match=words):
        build(row, Conversation.user(["See", part]))
    if isinstance(part, Image):  # in the results of tools too
        prompt = Conversation.user("x").ai(part_call()).with_tool_results([ToolResult("c", (part,), name="f")])
        with pytest.raises(InputError, match=words):
            build(row, prompt)


def part_call() -> Any:
    return Conversation.ai().messages[0].with_tool_call("c", "f", {}).parts


def test_what_is_large_but_taken() -> None:
    assert build(get_model("claude-4.6-sonnet-bedrock"), Conversation.user(["See", File(b"%PDF-" + b"\0" * 4_600_000)]))
    unknown = Model("m", "m", Provider("somebody", "https://h.example"))
    assert build(unknown, Conversation.user(["See", picture(20_000, 6_000_000)]))


@pytest.mark.parametrize("model, wanted", [
    ("gpt-4.1-mini", b'{"type":"text","text":"a.json:\\n\\n{}"}'),
    ("gemini-3-flash-preview", b'{"inlineData":{"mimeType":"text/plain","data":"e30="}}'),
    ("claude-4.6-sonnet", b'{"type":"text","media_type":"text/plain","data":"{}"}'),
    ("claude-4.6-sonnet-bedrock", b'"document":{"format":"txt"'),
])
def test_text_files(model: str, wanted: bytes) -> None:
    file = File(b"{}", name="a.json", media_type="application/json" if "bedrock" not in model else "text/plain")
    assert wanted in build(get_model(model), Conversation.user(["See", file]))


@pytest.mark.parametrize("model, taken, fetched", [
    ("gpt-4.1-mini", [Image], [File, Audio]), ("claude-4.6-sonnet", [Image, File], []),
    ("claude-4.6-sonnet-vertex", [], [Image, File]), ("claude-4.6-sonnet-bedrock", [], [Image, File, Audio]),
    ("gemini-3-flash-preview", [Image, File, Audio], []), ("kimi-k3", [], [Image, File, Audio]), ("ollama:llava", [], [Image]),
])
def test_who_fetches_urls_itself(model: str, taken: list[Any], fetched: list[Any]) -> None:
    row = get_model(model)
    dialect = load("dialects", row.dialect or row.provider.dialect)
    url = "https://h.example/a"
    assert all(dialect.takes_url(row, kind(url=url)) for kind in taken)
    assert not any(dialect.takes_url(row, kind(url=url)) for kind in fetched)
