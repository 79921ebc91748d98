"""The recipes of docs/extending.md: one new file each adds a model, a provider, a dialect, a cache and a display.

Each file is written beside the package, not into it, and used by a client against a rehearsal server.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from rehearsing import client_of

from deluge import _plugins
from deluge.models import register_model, registry
from deluge.testing import RehearsalServer

NewFile = Callable[[str, str, str], ModuleType]

PROVIDER = '''
"""Acme: https://docs.acme.example/models"""

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider("acme", "{host}/v1", key_env=("ACME_API_KEY",), url_env={"host": "ACME_HOST"},
                    flags=frozenset({"uses_max_tokens"}))
row = rows_of(PROVIDER)
MODELS = (
    row("acme-large", "acme/large-2", f.OPEN_VISION, 1.0, 4.0, context=131_072),
)
'''
DIALECT = '''
"""Completions, the way servers spoke before there were chats: one text in, one text out."""

import json

from deluge.dialects._headers import address, headers
from deluge.dialects.openai_chat.reply import parsed
from deluge.dialects.openai_chat.stream import streamed
from deluge.request import OneCall
from deluge.wire import HttpCall


class Shouted(OneCall):
    """Chat completions, in capitals."""

    name = "shouted"
    framing = "sse"

    def build(self, ctx):
        """The request."""
        text = "".join(part.text for message in ctx.prompt.messages for part in message.parts)
        body = {
            "model": ctx.model.name, "max_completion_tokens": ctx.params.max_new_tokens, "stream": ctx.stream,
            "messages": [{"role": "user", "content": text.upper()}],
        }
        return HttpCall("POST", address(ctx.template, "/chat/completions"), headers(ctx.template),
                        json.dumps(body).encode(), stream=ctx.stream)

    def parse(self, ctx, reply):
        """The response."""
        return parsed(ctx, reply)

    def events(self, ctx, events):
        """The deltas, then the response."""
        return streamed(ctx, events)


DIALECT = Shouted()
'''
CACHE = '''
"""A cache in memory."""


class Memory:
    """Answers by the fingerprint of the request."""

    thread_safe = True

    def __init__(self):
        self.answers = {}

    def get(self, prompt):
        """The answer, or None."""
        return self.answers.get(prompt.fingerprint)

    def put(self, prompt, response):
        """Keeps an answer."""
        self.answers[prompt.fingerprint] = response


CACHE = Memory
'''
DISPLAY = '''
"""Counts what it is shown."""


class Counting:
    """Remembers the last snapshot."""

    interval = 0.01
    seen = []

    def open(self, now):
        """Begins."""
        self.seen.append(("open", now.done))

    def show(self, now):
        """Goes on."""

    def close(self, now):
        """Ends."""
        self.seen.append(("close", now.done))


DISPLAY = Counting
'''


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0) as running:
        yield running


def room(kind: str) -> ModuleType | None:
    """The package where such files lie, if there is one."""
    package = sys.modules.get(f"deluge.{kind}")
    return package if package is not None and package.__file__ else None


@pytest.fixture
def new_file(tmp_path: Path) -> Iterator[NewFile]:
    """Lets one new file lie in a folder of the package; elsewhere where there is no such folder, and registered."""
    added: list[tuple[str, str, str]] = []

    def write(kind: str, name: str, text: str) -> ModuleType:
        folder = tmp_path / kind
        folder.mkdir()
        (folder / f"{name}.py").write_text(textwrap.dedent(text).lstrip(), "utf-8")
        package = room(kind)
        added.append((kind, name, str(folder)))
        if package is not None:
            package.__path__.append(str(folder))
            return importlib.import_module(f"deluge.{kind}.{name}")
        spec = importlib.util.spec_from_file_location(f"added_{name}", folder / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _plugins.register(kind, name, getattr(module, _plugins.CONSTANTS[kind]))
        return module

    yield write
    for kind, name, folder in added:
        _plugins.unregister(kind, name)
        package = room(kind)
        if package is not None and folder in package.__path__:
            package.__path__.remove(folder)
        sys.modules.pop(f"deluge.{kind}.{name}", None)
        registry.forget_catalog(name)


def test_a_model_is_one_row_of_a_catalog(
    server: RehearsalServer, new_file: NewFile, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_HOST", server.url)
    monkeypatch.setenv("ACME_API_KEY", "an-acme-key")
    row = '    row("acme-small", "acme/small-1", f.OPEN, 0.1, 0.4, flags="no_seed"),\n)\n'
    new_file("models.catalog", "acme", PROVIDER.rstrip().removesuffix(")") + row)
    with client_of(server, "acme-small", base_url=None) as client:
        answer = client.ask("Hello").raise_for_error()
    assert (answer.model_internal, answer.provider) == ("acme-small", "acme")
    assert answer.cost is not None and answer.cost > 0
    assert server.requests[-1].model == "acme/small-1"


def test_a_model_is_registered_at_run_time(server: RehearsalServer) -> None:
    register_model("my-own", provider="openai", name="served-as-this", base_url=server.base_url, input_price=1.0,
                   output_price=2.0, no_seed=True)
    try:
        with client_of(server, "my-own", base_url=None, api_key="a-key") as client:
            answer = client.ask("Hello").raise_for_error()
        assert answer.cost == pytest.approx((answer.input_tokens + 2 * answer.output_tokens) / 1e6)
        assert server.requests[-1].model == "served-as-this"
    finally:
        registry.forget("my-own")


def test_a_provider_is_one_new_catalog(
    server: RehearsalServer, new_file: NewFile, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_HOST", server.url)
    monkeypatch.setenv("ACME_API_KEY", "an-acme-key")
    new_file("models.catalog", "acme", PROVIDER)
    with client_of(server, ["acme-large", "acme:one-that-is-not-listed"], base_url=None) as client:
        answers = client.process_prompts(["Hello", "World"])
    assert [answer.is_error for answer in answers] == [False, False]
    assert {seen.model for seen in server.requests} == {"acme/large-2", "one-that-is-not-listed"}
    assert all("max_tokens" in seen.body for seen in server.requests)
    assert "acme" in {provider.name for provider in registry.providers()}


@pytest.mark.parametrize("how", ["a file of the package", "registered"])
def test_a_dialect_is_one_new_file(server: RehearsalServer, new_file: NewFile, how: str) -> None:
    module = new_file("dialects", "shouted", DIALECT)
    if how == "registered":
        _plugins.register("dialects", "shouted", module.DIALECT)
    register_model("megaphone", base_url=server.base_url, dialect="shouted")
    try:
        with client_of(server, "megaphone", base_url=None) as client:
            assert client.ask("hello").raise_for_error().completion
            *pieces, last = client.stream_chat("hello again")
        sent = [seen.body["messages"][0]["content"] for seen in server.requests]
        assert sent == ["HELLO", "HELLO AGAIN"]
        assert "".join(piece.text for piece in pieces) == last.completion
    finally:
        registry.forget("megaphone")


def test_a_cache_is_one_new_file(server: RehearsalServer, new_file: NewFile) -> None:
    new_file("caches", "recollection", CACHE)
    cache = _plugins.load("caches", "recollection")()
    with client_of(server, cache=cache) as client:
        first, second = client.ask("Hello"), client.ask("Hello")
        client.ask("Hello", sampling_params={"temperature": 0.1})
    assert (first.source, second.source, second.completion) == ("api", "cache", first.completion)
    assert server.count == 2 and len(cache.answers) == 2


def test_a_display_is_one_new_file(server: RehearsalServer, new_file: NewFile) -> None:
    display = new_file("progress", "counting", DISPLAY).DISPLAY
    with client_of(server, progress="counting") as client:
        client.process_prompts(["a", "b", "c"])
    assert [word for word, _ in display.seen] == ["open", "close"] and display.seen[-1] == ("close", 3)
