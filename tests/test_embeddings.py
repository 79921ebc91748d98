"""Embeddings and rankings: packed, in order, each text once, under the client's limits, and never bought again."""

from __future__ import annotations

import base64
import json
import pickle
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rehearsing import client_of

from deluge import ConfigError, ContextLengthError, EmbeddingError, LLMClient, Ranked, RateLimitError, Usage, register_model
from deluge.caches import MappingCache, MemoryCache, SQLiteCache
from deluge.embed import limits_of
from deluge.errors import Interrupted
from deluge.models import registry
from deluge.models.registry import get_model
from deluge.packing import divided, packed
from deluge.testing import RateLimits, RehearsalServer
from deluge.testing.vectors import score, vector

np = pytest.importorskip("numpy")
MODEL = "any-embedder"  # unknown to the catalog, so that nothing is assumed of it


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0) as server:
        yield server


def client(server: RehearsalServer, **settings: Any) -> LLMClient:
    return client_of(server, MODEL, **settings)


def sent(server: RehearsalServer) -> list[list[str]]:
    return [seen.body["input"] for seen in server.requests]


def expected(*texts: str) -> Any:
    return np.array([vector(text) for text in texts], dtype=np.float32)


# -- what comes back ------------------------------------------------------------------------------------------------

def test_an_array_in_the_order_of_the_texts(server: RehearsalServer) -> None:
    texts = [f"text {number}" for number in range(100)]
    with client(server) as deluge:
        found = deluge.embed(texts)
        assert found.dtype == np.float32 and found.shape == (100, 256)
        np.testing.assert_allclose(found, expected(*texts), atol=1e-6)
        assert sorted(sent(server)) == sorted([texts[:32], texts[32:64], texts[64:96], texts[96:]])
        assert deluge.status().usage == Usage(sum((len(text) + 3) // 4 for text in texts))


def test_lists_where_numpy_is_not_wanted(server: RehearsalServer) -> None:
    with client(server) as deluge:
        found = deluge.embed(["one", "two"], as_numpy=False)
    assert [type(row) for row in found] == [list, list] and found[1] == pytest.approx(vector("two"), abs=1e-6)


def test_one_text_gives_one_vector(server: RehearsalServer) -> None:
    with client(server) as deluge:
        assert deluge.embed("one").shape == (256,)
        assert deluge.embed("one", as_numpy=False) == pytest.approx(vector("one"), abs=1e-6)


def test_no_text_gives_none_and_asks_for_no_key() -> None:
    client = LLMClient("text-embedding-3-small", progress=None)
    assert client.embed([]).shape == (0, 1536) and client.embed([], dimensions=8).shape == (0, 8)
    assert client.embed(iter(()), as_numpy=False) == []


def test_equal_texts_are_embedded_once(server: RehearsalServer) -> None:
    with client(server) as deluge:
        found = deluge.embed(["a", "b", "a", "a", "b"])
        np.testing.assert_allclose(found, expected("a", "b", "a", "a", "b"), atol=1e-6)
        rows = deluge.embed(["a", "a"], as_numpy=False)
    assert sent(server)[0] == ["a", "b"]
    assert rows[0] == rows[1] and rows[0] is not rows[1]


def test_dimensions_and_input_type_reach_the_server() -> None:
    with RehearsalServer(latency=0.0) as server:
        deluge = client_of(server, "rehearsal-embed")
        assert deluge.embed(["a"], dimensions=16, input_type="query").shape == (1, 16)
        (seen,) = server.requests
        deluge.close()
    assert seen.path == "/v1/embeddings"
    assert {name: seen.body[name] for name in ("dimensions", "input_type", "encoding_format")} == {
        "dimensions": 16, "input_type": "query", "encoding_format": "base64",
    }


@pytest.mark.parametrize("model, path", [
    ("gemini-embedding-001", "/v1/models/gemini-embedding-001:batchEmbedContents"), ("embed-v4.0", "/v2/embed"),
    ("mistral-embed", "/v1/embeddings"), ("text-embedding-3-small", "/v1/embeddings"), ("voyage-4", "/v1/embeddings"),
])
def test_every_provider_by_its_own_protocol(server: RehearsalServer, model: str, path: str) -> None:
    texts = [f"text {number}" for number in range(130)]
    with client_of(server, api_key="k") as deluge:
        np.testing.assert_allclose(deluge.embed(texts, model), expected(*texts), atol=1e-6)
    most = get_model(model).provider.per_request.texts
    assert most is not None and server.count == -(-130 // most)
    assert {seen.path for seen in server.requests} == {path}


# -- packing --------------------------------------------------------------------------------------------------------

@given(st.lists(st.integers(1, 50)), st.integers(1, 7), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_packs_keep_order_and_limits(sizes: list[int], most: int, tokens: int) -> None:
    packs = list(packed(enumerate(sizes), most, tokens))
    assert [number for pack in packs for number in pack] == list(range(len(sizes)))
    for pack in packs:
        assert 0 < len(pack) <= most and (len(pack) == 1 or sum(sizes[number] for number in pack) <= tokens)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 500), min_size=1))
@settings(max_examples=100, deadline=None)
def test_shares_add_up(total: int, sizes: list[int]) -> None:
    shares = divided(total, sizes)
    assert sum(shares) == total and all(share >= 0 for share in shares) and len(shares) == len(sizes)


def test_batch_size_is_the_most_of_a_request(server: RehearsalServer) -> None:
    with client(server) as deluge:
        deluge.embed([f"text {number}" for number in range(25)], batch_size=10)
    assert sorted(map(len, sent(server))) == [5, 10, 10]


def test_a_request_is_a_part_of_a_minute_at_most(server: RehearsalServer) -> None:
    with client(server, max_tokens_per_minute=4_000) as deluge:
        deluge.embed([f"{number:03} " * 100 for number in range(8)])  # 160 tokens each at most, 1,000 for a request
    assert sorted(map(len, sent(server))) == [2, 6]


@pytest.mark.parametrize("model, changes, texts, tokens", [
    ("text-embedding-3-small", {}, 2_048, 25_000), ("text-embedding-3-small", {"max_tokens_per_minute": None}, 2_048, 300_000),
    ("rehearsal-embed", {}, 2_048, 300_000), ("rehearsal-embed", {"max_tokens_per_minute": 40_000}, 2_048, 10_000),
    ("rerank-v3.5", {"max_tokens_per_minute": None}, 1_000, 2**63 - 1),
    ("vllm:bge-m3", {"max_tokens_per_minute": None}, 32, 100_000),
])
def test_what_a_request_may_hold(model: str, changes: dict[str, Any], texts: int, tokens: int) -> None:
    found = limits_of(get_model(model), LLMClient(model, **changes).config, None)
    assert (found.texts, found.tokens) == (texts, tokens)


def test_it_stays_inside_the_limits(server: RehearsalServer) -> None:
    server.set_limits(RateLimits(requests=600, tokens=60_000))
    with client(server, max_requests_per_minute=600, max_tokens_per_minute=60_000, max_concurrent_requests=4) as deluge:
        deluge.embed([f"text {number}" for number in range(400)], batch_size=20)
    assert server.outcomes["refused"] == 0 and server.count == 20


# -- what goes wrong ------------------------------------------------------------------------------------------------

def test_failed_attempts_are_tried_again() -> None:
    with RehearsalServer(latency=0.0, script=["500", "reset", "malformed"]) as server, client(server) as deluge:
        np.testing.assert_allclose(deluge.embed(["a", "b"]), expected("a", "b"), atol=1e-6)
        assert server.count == 4


def test_a_text_that_is_refused_does_not_take_the_others_with_it(server: RehearsalServer) -> None:
    texts = [f"text {number}" for number in range(20)]
    texts[7] = "far too long " * 3_000
    with client(server) as deluge, pytest.raises(EmbeddingError) as caught:
        deluge.embed(texts)
    error = caught.value
    assert "1 of 20 texts have no vector: context_length" in str(error)
    assert error.vectors.shape == (20, 256) and np.isnan(error.vectors[7]).all()
    assert np.isfinite(np.delete(error.vectors, 7, axis=0)).all()
    assert [response.is_error for response in error.responses] == [at == 7 for at in range(20)]
    assert [response.index for response in error.responses] == list(range(20))
    assert error.response.error_kind == "context_length" and isinstance(error.__cause__, ContextLengthError)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and len(again.responses) == 20


def test_what_cannot_have_a_vector_is_not_sent(server: RehearsalServer) -> None:
    with client_of(server, "text-embedding-3-small", api_key="k") as deluge:
        rows = deluge.embed(["fine", "", "x" * 70_000], as_numpy=False, on_error="none")
        array = deluge.embed(["", "fine"], on_error="none")
    assert rows[0] is not None and rows[1:] == [None, None]
    assert np.isnan(array[0]).all() and np.isfinite(array[1]).all()
    assert sent(server) == [["fine"], ["fine"]]


def test_a_request_that_is_wrong_for_all_texts_is_not_asked_text_by_text(server: RehearsalServer) -> None:
    with client(server) as deluge, pytest.raises(EmbeddingError, match="bad_request"):
        deluge.embed([f"text {number}" for number in range(32)], dimensions=9_999)
    assert server.count == 3


def test_a_key_that_is_refused_is_said_once() -> None:
    with RehearsalServer(latency=0.0, api_key="right") as server, client(server, api_key="wrong") as deluge:
        with pytest.raises(EmbeddingError, match="2 of 2 texts have no vector: auth"):
            deluge.embed(["a", "b"])
        assert server.count == 1


def test_a_timeout_keeps_what_is_done(server: RehearsalServer) -> None:
    server.hold()
    with client(server, max_concurrent_requests=1) as deluge:
        threading.Thread(target=lambda: (server.wait_for_requests(1), server.release(1))).start()
        with pytest.raises(EmbeddingError) as caught:
            deluge.embed(["a", "b"], batch_size=1, timeout=1.0)
        server.release()
    assert [response.error_kind for response in caught.value.responses] == [None, "cancelled"]
    np.testing.assert_allclose(caught.value.vectors[:1], expected("a"), atol=1e-6)


def test_money_is_reserved_for_what_is_read_and_nothing_is_written(server: RehearsalServer) -> None:
    with client_of(server, "text-embedding-3-small", api_key="k") as deluge:
        deluge.embed([f"text {number}" for number in range(10)], max_cost=0.01)
        with pytest.raises(EmbeddingError, match="10 of 10 texts have no vector: budget"):
            deluge.embed([f"other text {number}" for number in range(10)], max_cost=1e-9)
    assert server.count == 1


@pytest.mark.parametrize("arguments, words", [
    ({"texts": [b"bytes"]}, r"texts\[0\] is bytes"), ({"texts": 7}, "texts are strings"),
    ({"texts": {"a": 1}}, "texts are strings"), ({"texts": ["a"], "batch_size": 0}, "batch_size is a number"),
    ({"texts": ["a"], "dimensions": True}, "dimensions is a number"), ({"texts": ["a"], "on_error": "ignore"}, "on_error is"),
    ({"texts": ["a"], "model": "gpt-4.1-mini"}, "gives no embeddings; models that do: .*text-embedding-3-small"),
    ({"texts": ["a"], "model": "mistral-embed", "dimensions": 12}, "have 1024 dimensions"),
    ({"texts": ["a"], "model": "bedrock:anything"}, "asks bedrock for no embeddings"),
    ({"texts": ["a"], "model": "vertex:anything"}, "asks vertex for no embeddings"),
    ({"texts": ["a"], "timeout": -1}, "timeout must be above 0"),
    ({"texts": ["a"], "durable": "each"}, "durable is a setting of journal"),
])
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LLMClient("rehearsal-embed", api_key="k").embed(**arguments)


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="unknown argument 'temperature'"):
        LLMClient("rehearsal-embed").embed(["a"], temperature=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("model, words", [
    ("text-embedding-3-small", r"client.embed\(texts, model='text-embedding-3-small'\)"),
    ("rerank-v3.5", r"client.rerank\(query, documents, model='rerank-v3.5'\)"),
])
def test_a_chat_with_a_model_that_does_not_chat(model: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LLMClient(model, api_key="k").ask("Hi")


# -- whose model ----------------------------------------------------------------------------------------------------

def test_the_clients_own_model_where_it_embeds(server: RehearsalServer) -> None:
    with client_of(server, ["gpt-4.1-mini", "rehearsal-embed"], api_key="k") as deluge:
        deluge.embed("a")
    with client_of(server, "gpt-4.1-mini", api_key="k") as deluge:
        deluge.embed("b")
    register_model("house-embedder", base_url=server.base_url, embedding=True, input_price=3)
    try:
        with LLMClient("house-embedder", progress=None) as deluge:
            deluge.embed(["c" * 40])
            assert deluge.status().cost == pytest.approx(30e-6)
    finally:
        registry.forget("house-embedder")
    assert [seen.model for seen in server.requests] == ["rehearsal-embed", "text-embedding-3-small", "house-embedder"]


def test_settings_of_chats_do_not_reach_it(server: RehearsalServer) -> None:
    seen = []
    settings = {"use_responses_api": True, "background": True, "json_mode": True, "postprocess": seen.append}
    with client_of(server, "gpt-4.1-mini", api_key="k", extra_body={"user": "me"}, **settings) as deluge:
        deluge.embed(["a"])
    assert seen == [] and server.requests[0].body == {
        "model": "text-embedding-3-small", "input": ["a"], "encoding_format": "base64", "user": "me",
    }


def test_called_from_a_hook_it_says_so(server: RehearsalServer) -> None:
    raised: list[BaseException] = []

    def hook(response: Any) -> None:
        with pytest.raises(RuntimeError, match="called from a deluge hook") as caught:
            deluge.embed("x")
        raised.append(caught.value)

    with client(server, postprocess=hook) as deluge:
        deluge.ask("Hi")
    assert len(raised) == 1


# -- cache and journal ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cache", ["memory", "sqlite", "mapping"])
def test_a_vector_is_bought_once_whatever_it_is_packed_with(server: RehearsalServer, cache: str, tmp_path: Path) -> None:
    caches: dict[str, Any] = {
        "memory": MemoryCache, "sqlite": lambda: SQLiteCache(tmp_path / "c.db"), "mapping": lambda: MappingCache({}),
    }
    kept = caches[cache]()
    texts = [f"text {number}" for number in range(50)]
    with client(server, cache=kept) as deluge:
        first = deluge.embed(texts, batch_size=7)
        server.requests.clear()
        more = deluge.embed(["new 1", *texts[::-1], "new 2"], batch_size=20)
        assert sent(server) == [["new 1", "new 2"]]
        np.testing.assert_array_equal(more[1:-1][::-1], first)
        deluge.embed(texts, dimensions=8)
    assert sum(map(len, sent(server))) == 52  # other dimensions are other vectors


def test_a_broken_cache_breaks_nothing(server: RehearsalServer, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def get(self, prompt: Any) -> Any:
            raise OSError("gone")

        def put(self, prompt: Any, response: Any) -> None:
            raise OSError("gone")

    with client(server, cache=Broken()) as deluge:
        np.testing.assert_allclose(deluge.embed(["a"]), expected("a"), atol=1e-6)
    assert "cache failed" in caplog.text


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_journal_has_a_record_for_each_text(server: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    with client(server) as deluge:
        deluge.embed(["one", "two", "one", "three and more"], journal=path)
    found = {record["prompt"]: record for record in records(path)}
    assert [found[text]["index"] for text in ("one", "two", "three and more")] == [0, 1, 3]
    floats = struct.unpack("<256f", base64.b64decode(found["two"]["completion"]))
    assert floats == pytest.approx(vector("two"), abs=1e-6)
    assert sum(record["input_tokens"] for record in found.values()) == 1 + 1 + 4
    assert not any(record["is_error"] for record in found.values())


def test_a_journal_goes_on_though_the_packs_are_others(server: RehearsalServer, tmp_path: Path) -> None:
    path, texts = tmp_path / "vectors.jsonl", [f"text {number}" for number in range(40)]
    with client(server) as deluge:
        first = deluge.embed(texts[::2], journal=path, batch_size=3)
        server.requests.clear()
        found = deluge.embed(texts, journal=path, batch_size=6)
        assert sorted(text for pack in sent(server) for text in pack) == sorted(texts[1::2])
        np.testing.assert_array_equal(found[::2], first)
        server.requests.clear()
        np.testing.assert_array_equal(deluge.embed(texts, journal=path), found)
    assert not server.requests
    assert [record["index"] for record in sorted(records(path), key=lambda record: record["index"])] == list(range(40))


def test_the_journal_of_a_text_that_failed(server: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    texts = ["fine", "far too long " * 3_000, "as well"]
    with client(server) as deluge:
        assert np.isnan(deluge.embed(texts, journal=path, on_error="none")[1]).all()
        count = server.count
        with pytest.raises(EmbeddingError, match="context_length"):
            deluge.embed(texts, journal=path)
        assert server.count == count
        deluge.embed(texts, journal=path, retry_failed=True, on_error="none")
        assert server.count == count + 1
    assert [record["is_error"] for record in sorted(records(path), key=lambda record: record["index"])] == [False, True, False]


def test_what_the_cache_had_is_in_the_journal_too(server: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    with client(server, cache=MemoryCache()) as deluge:
        deluge.embed(["a", "b"])
        deluge.embed(["a", "b", "c"], journal=path)
    assert {record["prompt"]: record["source"] for record in records(path)} == {"a": "cache", "b": "cache", "c": "api"}


def test_ctrl_c_keeps_what_is_done(server: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    server.hold()
    with client(server, max_concurrent_requests=1) as deluge:
        def interrupt() -> None:
            server.wait_for_requests(1)
            server.release(1)
            server.wait_for_requests(2)
            import _thread
            _thread.interrupt_main()

        threading.Thread(target=interrupt).start()
        with pytest.raises(Interrupted) as caught:
            deluge.embed(["a", "b", "a"], batch_size=1, journal=path)
        server.release()
        assert [None if response is None else response.is_error for response in caught.value.responses] == [False, None, False]
        np.testing.assert_allclose(deluge.embed(["a", "b"], journal=path), expected("a", "b"), atol=1e-6)
    assert [seen.body["input"] for seen in server.requests] == [["a"], ["b"], ["b"]]


def test_threads_share_a_client(server: RehearsalServer) -> None:
    found: dict[int, Any] = {}
    with client(server, cache=MemoryCache()) as deluge:
        def work(number: int) -> None:
            found[number] = deluge.embed([f"thread {number} text {at}" for at in range(20)], batch_size=3)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    for number in range(6):
        np.testing.assert_allclose(found[number], expected(*(f"thread {number} text {at}" for at in range(20))), atol=1e-6)


# -- rankings -------------------------------------------------------------------------------------------------------

DOCUMENTS = ["the dog barks", "the cat sits", "cats sit and cats sleep", "stocks fell", "the cat sits"]


def ranked(query: str, documents: list[str]) -> list[Ranked]:
    scored = [Ranked(at, score(query, text), text) for at, text in enumerate(documents)]
    return sorted(scored, key=lambda one: (-one.score, one.index))


@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize("top_n", [None, 1, 3, 50])
def test_a_ranking(server: RehearsalServer, batch_size: int | None, top_n: int | None) -> None:
    with client(server) as deluge:
        found = deluge.rerank("where does the cat sit", DOCUMENTS, top_n=top_n, batch_size=batch_size)
    assert found == ranked("where does the cat sit", DOCUMENTS)[:top_n]
    assert server.count == -(-len(DOCUMENTS) // (batch_size or 5))


@pytest.mark.parametrize("model, path, word", [("rerank-v3.5", "/v2/rerank", "top_n"), ("rerank-2.5", "/v1/rerank", "top_k")])
def test_a_ranking_by_the_providers_own_protocol(server: RehearsalServer, model: str, path: str, word: str) -> None:
    with client_of(server, "gpt-4.1-mini", api_key="k") as deluge:
        assert deluge.rerank("cat", DOCUMENTS, model, top_n=2) == ranked("cat", DOCUMENTS)[:2]
    (seen,) = server.requests
    assert seen.path == path and seen.body[word] == 2


def test_a_ranking_is_kept_by_cache_and_journal(server: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "rankings.jsonl"
    with client(server, cache=MemoryCache()) as deluge:
        first = deluge.rerank("cat", DOCUMENTS, journal=path)
        assert deluge.rerank("cat", DOCUMENTS) == first and deluge.rerank("cat", DOCUMENTS, journal=path) == first
    with client(server) as deluge:
        assert deluge.rerank("cat", DOCUMENTS, journal=path) == first
    assert server.count == 1


def test_a_ranking_that_fails_raises_its_error() -> None:
    with RehearsalServer(latency=0.0, script=lambda number, request: "429") as server:
        with client(server, max_attempts=1, rate_limit_patience=0.01) as deluge, pytest.raises(RateLimitError):
            deluge.rerank("cat", DOCUMENTS)


@pytest.mark.parametrize("arguments, words", [
    ({"query": "", "documents": ["a"]}, "the query is a text"), ({"query": "a", "documents": [1]}, r"documents\[0\] is int"),
    ({"query": "a", "documents": ["a"], "top_n": 0}, "top_n is a number"),
    ({"query": "a", "documents": ["a"], "model": "voyage-4"}, "ranks no documents; models that do: rerank-v3.5"),
])
def test_bad_arguments_of_a_ranking(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LLMClient("rehearsal-rerank").rerank(**arguments)


def test_nothing_to_rank() -> None:
    assert LLMClient("rerank-v3.5").rerank("query", []) == []
