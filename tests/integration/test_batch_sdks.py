"""The rehearsal server's batch APIs beside the providers' own SDKs: they create, read, list and cancel, and believe it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deluge.testing import RehearsalServer

pytestmark = pytest.mark.integration

ASKED = {"a": "What is 6 * 7?", "b": "[[fault 500]] no", "c": "[[expire]] late"}


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0, batch_seconds=0.0) as made:
        yield made


def lines(model: str, **more: Any) -> bytes:
    rows = [{"custom_id": id, **more, "body": {"model": model, "max_tokens": 50,
             "messages": [{"role": "user", "content": text}]}} for id, text in ASKED.items()]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_openai(server: RehearsalServer) -> None:
    openai = pytest.importorskip("openai", minversion="3.50")
    with openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        data = lines("gpt-4.1-mini", method="POST", url="/v1/chat/completions")
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        assert client.files.content(file.id).read() == data
        made = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"job": "x"},
        )
        batch = client.batches.retrieve(made.id)
        assert batch.status == "expired" and batch.metadata == {"job": "x"}
        assert batch.request_counts is not None and batch.request_counts.completed == 1
        answers = [json.loads(line) for line in client.files.content(batch.output_file_id or "").text.splitlines()]
        assert [row["response"]["body"]["choices"][0]["message"]["content"] for row in answers] == ["42"]
        errors = {row["custom_id"]: row for row in map(
            json.loads, client.files.content(batch.error_file_id or "").text.splitlines())}
        assert errors["b"]["response"]["status_code"] == 500 and errors["c"]["error"]["code"] == "batch_expired"
        server.batches.seconds = 60.0
        other = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert client.batches.cancel(other.id).status == "cancelled"
        assert [row.id for row in client.batches.list(limit=1)] == [other.id, made.id]
        broken = client.files.create(file=("in.jsonl", b"no json\n"), purpose="batch")
        failed = client.batches.create(
            input_file_id=broken.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert failed.status == "failed" and failed.errors is not None and failed.errors.data


def test_anthropic(server: RehearsalServer) -> None:
    anthropic = pytest.importorskip("anthropic", minversion="2.0")
    with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
        requests = [{"custom_id": id, "params": {"model": "claude-haiku-4-5", "max_tokens": 50,
                     "messages": [{"role": "user", "content": text}]}} for id, text in ASKED.items()]
        made = client.messages.batches.create(requests=requests)
        batch = client.messages.batches.retrieve(made.id)
        assert batch.processing_status == "ended" and batch.request_counts.succeeded == 1
        results = {row.custom_id: row.result for row in client.messages.batches.results(made.id)}
        assert results["a"].message.content[0].text == "42"
        assert results["b"].type == "errored" and results["b"].error.error.type == "api_error"
        assert results["c"].type == "expired"
        server.batches.seconds = 60.0
        other = client.messages.batches.create(requests=requests)
        assert other.processing_status == "in_progress"
        assert client.messages.batches.cancel(other.id).request_counts.canceled == 3
        assert [row.id for row in client.messages.batches.list(limit=1)] == [other.id, made.id]


def test_google(server: RehearsalServer, tmp_path: Any) -> None:
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key="k", http_options={"base_url": server.url})
    rows = [{"contents": [{"role": "user", "parts": [{"text": text}]}]} for text in ASKED.values()]
    made = client.batches.create(model="gemini-2.5-flash", src=rows, config={"display_name": "mine"})
    job = client.batches.get(name=made.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED" and job.display_name == "mine"
    assert sorted(one.response.text for one in job.dest.inlined_responses if one.response) == ["42"]
    assert {one.error.code for one in job.dest.inlined_responses if one.error} == {500, 4}
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"key": id, "request": row}) + "\n" for id, row in zip(ASKED, rows)))
    file = client.files.upload(file=path, config={"mime_type": "jsonl", "display_name": "in"})
    by_file = client.batches.get(name=client.batches.create(model="gemini-2.5-flash", src=file.name).name)
    data = client.files.download(file=by_file.dest.file_name)
    answers = {row["key"]: row for row in map(json.loads, data.splitlines())}
    assert answers["a"]["response"]["candidates"][0]["content"]["parts"][0]["text"] == "42"
    server.batches.seconds = 60.0
    other = client.batches.create(model="gemini-2.5-flash", src=rows)
    client.batches.cancel(name=other.name)
    assert client.batches.get(name=other.name).state.name == "JOB_STATE_CANCELLED"
    assert [one.name for one in client.batches.list(config={"page_size": 2})] == [other.name, by_file.name, made.name]
    client.close()


def test_mistral(server: RehearsalServer) -> None:
    mistral = pytest.importorskip("mistralai.client")
    with mistral.Mistral(api_key="k", server_url=server.url) as client:
        data = lines("mistral-small-latest")
        file = client.files.upload(file={"file_name": "in.jsonl", "content": data}, purpose="batch")
        made = client.batch.jobs.create(
            input_files=[file.id], model="mistral-small-latest", endpoint="/v1/chat/completions", metadata={"job": "x"})
        job = client.batch.jobs.get(job_id=made.id)
        assert job.status == "TIMEOUT_EXCEEDED" and job.succeeded_requests == 1 and job.failed_requests == 1
        answers = [json.loads(line) for line in client.files.download(file_id=job.output_file).read().splitlines()]
        assert [row["response"]["body"]["choices"][0]["message"]["content"] for row in answers] == ["42"]
        server.batches.seconds = 60.0
        other = client.batch.jobs.create(
            input_files=[file.id], model="mistral-small-latest", endpoint="/v1/chat/completions")
        assert client.batch.jobs.cancel(job_id=other.id).status == "CANCELLED"
        assert [row.id for row in client.batch.jobs.list().data] == [other.id, made.id]
