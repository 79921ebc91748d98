"""The rehearsal provider's embeddings and rankings: their vectors, and what they refuse, each in its protocol's words."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from deluge.testing import RateLimits, RehearsalServer
from deluge.testing.vectors import score, vector


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0, models=["m"]) as server:
        yield server


def post(server: RehearsalServer, path: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def google(*texts: str, **more: Any) -> dict[str, Any]:
    return {"requests": [{"model": "models/m", "content": {"parts": [{"text": text}]}, **more} for text in texts]}


def test_vectors_have_length_one_and_similar_texts_are_near() -> None:
    def near(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(vector(one), vector(other)))

    assert near("The cat sat.", "the cat sat") == pytest.approx(1.0)
    assert near("a cat sat here", "the cats sit here") > near("a cat sat here", "rates were raised")
    assert math.hypot(*vector("")) == math.hypot(*vector("!?")) == 1.0 and len(vector("x", 12)) == 12
    assert 0.0 <= score("a", "b") <= score("a b", "a b") == 1.0


@pytest.mark.parametrize("path, body, status, words", [
    ("/v1/embeddings", {"model": "m"}, 400, "a list of strings"),
    ("/v1/embeddings", {"model": "m", "input": []}, 400, "a list of strings"),
    ("/v1/embeddings", {"model": "m", "input": ["a", ""]}, 400, "empty string"),
    ("/v1/embeddings", {"model": "m", "input": ["a"] * 2_049}, 400, "at most 2048"),
    ("/v1/embeddings", {"model": "m", "input": ["a" * 33_000]}, 400, "maximum context length is 8192"),
    ("/v1/embeddings", {"model": "m", "input": ["a" * 30_000] * 41}, 400, "max 300000 tokens per request"),
    ("/v1/embeddings", {"model": "m", "input": "a", "dimensions": 0}, 400, "between 1 and 4096"),
    ("/v1/embeddings", {"model": "m", "input": "a", "encoding_format": "int8"}, 400, "'float' and 'base64'"),
    ("/v1/embeddings", {"model": "other", "input": "a"}, 404, "does not exist"),
    ("/v1beta/models/m:batchEmbedContents", {"requests": []}, 400, "requests is not specified"),
    ("/v1beta/models/m:batchEmbedContents", google(*"a" * 101), 400, "at most 100 requests"),
    ("/v1beta/models/m:batchEmbedContents", {"requests": [{"content": {"parts": [{}]}}]}, 400, "a list of strings"),
    ("/v1beta/models/other:batchEmbedContents", google("a"), 404, "does not exist"),
    ("/v2/embed", {"model": "m", "texts": ["a"]}, 400, "valid input_type"),
    ("/v2/embed", {"model": "m", "texts": ["a"] * 97, "input_type": "search_query"}, 400, "at most 96"),
    ("/v2/embed", {"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["int8"]}, 400, "int8"),
    ("/v2/rerank", {"model": "m", "query": "a"}, 400, "a list of strings"),
    ("/v2/rerank", {"model": "m", "documents": ["a"]}, 400, "a list of strings"),
    ("/v1/rerank", {"model": "m", "query": "a", "documents": ["a"], "top_k": -1}, 400, "at least 1"),
])
def test_what_is_refused(server: RehearsalServer, path: str, body: Any, status: int, words: str) -> None:
    found, reply = post(server, path, body)
    assert found == status
    assert words in (reply["message"] if path.startswith("/v2") or "rerank" in path else reply["error"]["message"])


def test_one_and_several_of_googles(server: RehearsalServer) -> None:
    one = {"content": {"parts": [{"text": "a "}, {"text": "b"}]}, "outputDimensionality": 8}
    assert post(server, "/v1beta/models/m:embedContent", one)[1]["embedding"]["values"] == pytest.approx(vector("a b", 8))
    status, reply = post(server, "/v1beta/models/m:batchEmbedContents", google("a", "b", outputDimensionality=8))
    assert status == 200
    assert [row["values"] for row in reply["embeddings"]] == [pytest.approx(vector(text, 8)) for text in "ab"]


def test_a_ranking_counts_searches_or_tokens(server: RehearsalServer) -> None:
    body = {"model": "m", "query": "cat", "documents": ["dog", "cat"] * 60, "top_n": 2}
    assert post(server, "/v2/rerank", body)[1]["meta"]["billed_units"] == {"search_units": 2}
    reply = post(server, "/v1/rerank", body)[1]
    assert reply["usage"] == {"total_tokens": 240} and [row["index"] for row in reply["results"]] == [1, 3]


def test_limits_hold_and_are_told() -> None:
    with RehearsalServer(latency=0.0, limits=RateLimits(requests=1)) as limited:
        for path, body in (
            ("/v1/embeddings", {"model": "m", "input": "a"}), ("/v2/rerank", {"model": "m", "query": "a", "documents": ["a"]}),
        ):
            post(limited, path, body)
            assert post(limited, path, body)[0] == 429
    assert limited.outcomes["refused"] == 3
