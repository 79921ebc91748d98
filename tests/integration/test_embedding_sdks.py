"""The official SDKs against the rehearsal server: what they send is served, what is served they can read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deluge.testing import RehearsalServer
from deluge.testing.vectors import score, vector

pytestmark = pytest.mark.integration

TEXTS = ["the cat sat", "a dog barked"]


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0, api_key="sk-test") as server:
        yield server


def test_openai(server: RehearsalServer) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(api_key="sk-test", base_url=server.base_url, max_retries=0) as client:
        found = client.embeddings.create(model="text-embedding-3-small", input=TEXTS, dimensions=16)  # base64 on the wire
        assert [row.embedding for row in found.data] == [pytest.approx(vector(text, 16), abs=1e-6) for text in TEXTS]
        plain = client.embeddings.create(model="text-embedding-3-small", input="x", encoding_format="float")
        assert plain.data[0].embedding == pytest.approx(vector("x"))
        assert found.usage.prompt_tokens == 6 and found.usage.total_tokens == 6
        with pytest.raises(openai.BadRequestError, match="between 1 and 4096"):
            client.embeddings.create(model="text-embedding-3-small", input="x", dimensions=5_000)


def test_google(server: RehearsalServer) -> None:
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key="sk-test", http_options={"base_url": server.url})
    config = {"output_dimensionality": 16, "task_type": "RETRIEVAL_DOCUMENT"}
    found = client.models.embed_content(model="gemini-embedding-001", contents=TEXTS, config=config)
    client.close()
    assert [row.values for row in found.embeddings] == [pytest.approx(vector(text, 16)) for text in TEXTS]
    assert server.requests[-1].path.endswith("models/gemini-embedding-001:batchEmbedContents")


def test_mistral(server: RehearsalServer) -> None:
    mistral = pytest.importorskip("mistralai.client")
    with mistral.Mistral(api_key="sk-test", server_url=server.url) as client:
        found = client.embeddings.create(model="mistral-embed", inputs=TEXTS)
    assert [row.embedding for row in found.data] == [pytest.approx(vector(text)) for text in TEXTS]


def test_cohere(server: RehearsalServer) -> None:
    cohere = pytest.importorskip("cohere")
    with pytest.importorskip("httpx").Client() as http:
        client = cohere.ClientV2(api_key="sk-test", base_url=server.url, httpx_client=http)
        found = client.embed(model="embed-v4.0", texts=TEXTS, input_type="search_document", embedding_types=["float"],
                             output_dimension=16)
        ranked = client.rerank(model="rerank-v3.5", query="a cat", documents=TEXTS, top_n=1)
    assert found.embeddings.float_ == [pytest.approx(vector(text, 16)) for text in TEXTS]
    assert found.meta.billed_units.input_tokens == 6
    assert [(row.index, row.relevance_score) for row in ranked.results] == [(0, score("a cat", TEXTS[0]))]
