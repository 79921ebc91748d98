"""Requests of the formats that embed and rank: what is in the body, where it goes, what is said of what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge import _plugins
from deluge.dialects._vectors import encoded
from deluge.endpoints import dialect_of
from deluge.errors import ConfigError, InputError
from deluge.models.model import Model, Provider
from deluge.models.registry import custom_model, get_model, models
from deluge.params import SamplingParams
from deluge.prompt import Conversation, Image, Message, Text
from deluge.request import Purpose, RequestContext, RequestOptions, RequestTemplate, purpose_of
from deluge.wire import HttpCall, Note

PARAMS = SamplingParams(temperature=0.0, max_new_tokens=1)


def texts(*given: str) -> Conversation:
    return Conversation((Message("user", tuple(map(Text, given))),)).freeze()


def built(model: Model | str, purpose: Purpose, *given: str, base_url: str = "", **options: Any) -> HttpCall:
    row = get_model(model) if isinstance(model, str) else model
    wanted = RequestOptions(purpose=purpose, **options)
    dialect = dialect_of(row, wanted, PARAMS)[0]
    template = RequestTemplate(row, PARAMS, wanted, base_url or row.base_url or row.provider.base_url, "a-key", dialect)
    call: HttpCall = _plugins.load("dialects", dialect).build(RequestContext(texts(*given), template))
    return call


EMBED = Purpose("embed")


@pytest.mark.parametrize("model, purpose, url, body", [
    ("text-embedding-3-small", EMBED, "https://api.openai.com/v1/embeddings",
     {"model": "text-embedding-3-small", "encoding_format": "base64", "input": ["a", "b"]}),
    ("text-embedding-3-small", Purpose("embed", 256), "https://api.openai.com/v1/embeddings",
     {"model": "text-embedding-3-small", "dimensions": 256, "encoding_format": "base64", "input": ["a", "b"]}),
    ("mistral-embed", EMBED, "https://api.mistral.ai/v1/embeddings", {"model": "mistral-embed", "input": ["a", "b"]}),
    ("codestral-embed", Purpose("embed", 512), "https://api.mistral.ai/v1/embeddings",
     {"model": "codestral-embed", "output_dimension": 512, "input": ["a", "b"]}),
    ("voyage-4", Purpose("embed", 512, "query"), "https://api.voyageai.com/v1/embeddings",
     {"model": "voyage-4", "output_dimension": 512, "input_type": "query", "encoding_format": "base64", "input": ["a", "b"]}),
    ("ollama:nomic-embed-text", EMBED, "http://localhost:11434/v1/embeddings",
     {"model": "nomic-embed-text", "input": ["a", "b"]}),
    ("gemini-embedding-001", Purpose("embed", 768, "document"),
     "https://generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:batchEmbedContents",
     {"requests": [
         {"model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_DOCUMENT", "outputDimensionality": 768,
          "content": {"parts": [{"text": text}]}} for text in "ab"
     ]}),
    ("google:some-embedder", EMBED, "https://generativelanguage.googleapis.com/v1beta/models/some-embedder:batchEmbedContents",
     {"requests": [{"model": "models/some-embedder", "content": {"parts": [{"text": text}]}} for text in "ab"]}),
    ("embed-v4.0", EMBED, "https://api.cohere.ai/v2/embed",
     {"model": "embed-v4.0", "input_type": "search_document", "embedding_types": ["float"], "texts": ["a", "b"]}),
    ("embed-v4.0", Purpose("embed", 256, "query"), "https://api.cohere.ai/v2/embed",
     {"model": "embed-v4.0", "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 256,
      "texts": ["a", "b"]}),
    ("rerank-v3.5", Purpose("rerank", top_n=3), "https://api.cohere.ai/v2/rerank",
     {"model": "rerank-v3.5", "top_n": 3, "query": "a", "documents": ["b"]}),
    ("rerank-2.5", Purpose("rerank", top_n=3), "https://api.voyageai.com/v1/rerank",
     {"model": "rerank-2.5", "top_k": 3, "query": "a", "documents": ["b"]}),
    ("vllm:BAAI/bge-reranker", Purpose("rerank"), "http://localhost:8000/v1/rerank",
     {"model": "BAAI/bge-reranker", "query": "a", "documents": ["b"]}),
])
def test_a_request(model: str, purpose: Purpose, url: str, body: dict[str, Any]) -> None:
    call = built(model, purpose, "a", "b")
    assert (call.method, call.url, call.stream, call.notes) == ("POST", url, False, ())
    assert json.loads(call.body) == body
    assert "a-key" in "".join(call.headers.values())


@pytest.mark.parametrize("base, url", [
    ("https://api.cohere.com/v2", "https://api.cohere.com/v2/embed"), ("http://host/v1/", "http://host/v2/embed"),
    ("http://host/cohere", "http://host/cohere/v2/embed"), ("http://host/compatibility/v1?a=b", "http://host/v2/embed?a=b"),
])
def test_where_coheres_own_api_is(base: str, url: str) -> None:
    assert built("embed-v4.0", EMBED, "a", base_url=base).url == url


def test_words_for_what_texts_are() -> None:
    for word, cohere, google in (("similarity", "clustering", "SEMANTIC_SIMILARITY"), ("image", "image", "IMAGE")):
        assert json.loads(built("embed-v4.0", Purpose("embed", None, word), "a").body)["input_type"] == cohere
        body = json.loads(built("gemini-embedding-001", Purpose("embed", None, word), "a").body)
        assert body["requests"][0]["taskType"] == google


def test_what_a_model_does_not_take_is_said() -> None:
    call = built("mistral-embed", Purpose("embed", 12, "query"), "a")
    assert json.loads(call.body) == {"model": "mistral-embed", "input": ["a"]}
    assert [note.parameter for note in call.notes] == ["dimensions", "input_type"]


def test_the_users_own_fields_and_headers() -> None:
    extra = {"truncation": False, "input": ["theirs"], "model": "theirs"}
    call = built("voyage-4", EMBED, "a", extra_body=extra, extra_headers={"x-mine": "1"})
    body = json.loads(call.body)
    assert body["truncation"] is False and body["input"] == ["a"] and body["model"] == "voyage-4"
    assert call.headers["x-mine"] == "1"
    assert call.notes == tuple(Note(name, "it belongs to the texts and the model of this call") for name in ("input", "model"))
    google = json.loads(built("gemini-embedding-001", EMBED, "a", extra_body={"more": 1}).body)
    assert google["more"] == 1 and len(google["requests"]) == 1


def test_a_prompt_that_is_no_list_of_texts_is_refused() -> None:
    row = get_model("text-embedding-3-small")
    template = RequestTemplate(row, PARAMS, RequestOptions(purpose=EMBED), "https://host/v1", None, "embeddings")
    for prompt in (Conversation().user("x", image=Image(data=b"\x89PNG")), Conversation()):
        with pytest.raises(InputError, match="texts are embedded and ranked"):
            _plugins.load("dialects", "embeddings").build(RequestContext(prompt.freeze(), template))


def test_every_model_that_embeds_or_ranks_has_a_format_of_that_kind() -> None:
    for flag, kind in (("embedding", "embed"), ("reranking", "rerank")):
        rows = [model for model in models() if model.has(flag)]
        assert rows
        for model in rows:
            dialect = dialect_of(model, RequestOptions(purpose=Purpose(kind)), PARAMS)[0]  # type: ignore[arg-type]
            assert purpose_of(_plugins.load("dialects", dialect)) == kind
            assert flag == "reranking" or (model.dimensions and model.context_window)


def test_which_format_a_model_of_ones_own_has() -> None:
    kind = RequestOptions(purpose=EMBED)
    assert dialect_of(custom_model("bge", "http://host/v1"), kind, PARAMS)[0] == "embeddings"
    own = Model("m", "m", Provider("house", "http://host", "cohere_embeddings"))
    assert dialect_of(own, kind, PARAMS)[0] == "cohere_embeddings"
    with pytest.raises(ConfigError, match="asks house for no rankings"):
        dialect_of(own, RequestOptions(purpose=Purpose("rerank")), PARAMS)


@pytest.mark.parametrize("vector", [
    [], None, ["1"], [None], [1e400], [float("nan")], [[1]], "", "A", "AAA=", "AAAAgH8AAA=",
    "AACA/w==", "AAD!Af8=", "AAAAAA==AAAAAA==", 7, {},
])
def test_what_is_no_vector(vector: Any) -> None:
    with pytest.raises(ValueError):
        encoded(vector)


def test_a_vector_keeps_its_numbers() -> None:
    assert encoded([-3.4e38, 3.4e38, 2.0e38])
    assert encoded([1, 0.5, -2.0]) == "AACAPwAAAD8AAADA" and encoded("AACAPwAAAD8AAADA") == "AACAPwAAAD8AAADA"
