"""The rehearsal provider's embeddings and rankings, checked and worded as OpenAI, Google and Cohere do it."""

from __future__ import annotations

import base64
import re
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from deluge import _json
from deluge.testing.answers import tokens
from deluge.testing.chat import WIRE as CHAT
from deluge.testing.chat_request import Problem
from deluge.testing.cohere import WIRE as COHERE
from deluge.testing.exchange import Reply, Request, Wire
from deluge.testing.gemini import WIRE as GEMINI
from deluge.testing.limits import Decision, RateLimits
from deluge.testing.service import Service
from deluge.testing.vectors import DIMENSIONS, MOST_DIMENSIONS, score, vector

WINDOW = 8_192  # tokens of one text
MOST_TEXTS, MOST_TOKENS = 2_048, 300_000  # of OpenAI's
GOOGLE_TEXTS = 100
COHERE_TEXTS = 96
COHERE_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
_EMBED = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>batchEmbedContents|embedContent)$")


class Spoken:
    """A protocol in the words of another one: errors, limits and refusals are that one's."""

    name = ""
    words: Wire = CHAT

    def reply(self, request: Request, service: Service) -> Reply:
        """The answer, or the error that the request deserves."""
        try:
            return self.answer(request, service)
        except Problem as problem:
            return Reply(problem.status, self.error(problem.status, str(problem), problem.code, problem.param))

    def answer(self, request: Request, service: Service) -> Reply:
        """The answer; ``Problem`` says what is wrong with the request."""
        raise TypeError(f"{self.name} has no answers")

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """The body of an error."""
        return self.words.error(status, message, code, param)

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """Rate-limit headers."""
        return self.words.limit_headers(state)

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The 429 of a limit that has no room."""
        return self.words.refusal(reply, decision, limits)


class OpenAIEmbeddings(Spoken):
    """``POST …/embeddings``, floats or base64."""

    name = "embeddings"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is this one."""
        return method == "POST" and path.endswith("/embeddings")

    def answer(self, request: Request, service: Service) -> Reply:
        """The vectors."""
        body = request.json
        model = _known(body.get("model"), service)
        texts = _texts([body["input"]] if isinstance(body.get("input"), str) else body.get("input"), MOST_TEXTS, "input")
        if _total(texts) > MOST_TOKENS:
            raise Problem(f"Requested {_total(texts)} tokens, max {MOST_TOKENS} tokens per request", "input",
                          "max_tokens_per_request")
        length = _length(body.get("dimensions", body.get("output_dimension")), "dimensions")
        form = body.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise Problem(f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'.", "encoding_format")
        data = [
            {"object": "embedding", "index": at, "embedding": _worded(vector(text, length), form)}
            for at, text in enumerate(texts)
        ]
        counts = {"prompt_tokens": _total(texts), "total_tokens": _total(texts)}
        return _reply(model, texts, {
            "id": f"embd-{request.number}", "object": "list", "data": data, "model": model, "usage": counts,
        })


class GoogleEmbeddings(Spoken):
    """``POST …/models/{model}:batchEmbedContents`` and ``:embedContent``."""

    name = "gemini_embeddings"
    words = GEMINI

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of these."""
        return method == "POST" and _EMBED.search(path) is not None

    def answer(self, request: Request, service: Service) -> Reply:
        """The vectors; Google counts nothing."""
        found = _EMBED.search(request.path)
        assert found is not None
        model, several = _known(found["model"], service), found["verb"] == "batchEmbedContents"
        wanted = request.json.get("requests") if several else [request.json]
        if not isinstance(wanted, list) or not wanted:
            raise Problem("* BatchEmbedContentsRequest.requests: requests is not specified")
        if len(wanted) > GOOGLE_TEXTS:
            raise Problem(f"* BatchEmbedContentsRequest.requests: at most {GOOGLE_TEXTS} requests can be in one batch")
        texts = _texts([_content(one) for one in wanted], GOOGLE_TEXTS, "content")
        values = [
            {"values": list(vector(text, _length(one.get("outputDimensionality"), "output_dimensionality")))}
            for one, text in zip(wanted, texts)
        ]
        return _reply(model, texts, {"embeddings": values} if several else {"embedding": values[0]})


class CohereEmbeddings(Spoken):
    """``POST …/v2/embed``."""

    name = "cohere_embeddings"
    words = COHERE

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is this one."""
        return method == "POST" and path.endswith("/v2/embed")

    def answer(self, request: Request, service: Service) -> Reply:
        """The vectors."""
        body = request.json
        model = _known(body.get("model"), service)
        if body.get("input_type") not in COHERE_TYPES:
            raise Problem("invalid request: valid input_type must be provided with the provided model")
        texts = _texts(body.get("texts"), COHERE_TEXTS, "texts")
        length = _length(body.get("output_dimension"), "output_dimension")
        forms = body.get("embedding_types") or ["float"]
        found = {form: [_worded(vector(text, length), form) for text in texts] for form in forms}
        return _reply(model, texts, {
            "id": f"rehearsal-{request.number}", "response_type": "embeddings_by_type", "embeddings": found, "texts": texts,
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": _total(texts)}},
        })


class Rankings(Spoken):
    """``POST …/rerank``: Cohere's reply under /v2, elsewhere with the tokens that Jina, vLLM and Voyage count."""

    name = "rerank"
    words = COHERE

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is this one."""
        return method == "POST" and path.endswith("/rerank")

    def answer(self, request: Request, service: Service) -> Reply:
        """The ranking, best first."""
        body = request.json
        model = _known(body.get("model"), service)
        (query,) = _texts([body.get("query")], 1, "query")
        documents = _texts(body.get("documents"), 1_000, "documents")
        best = body.get("top_n", body.get("top_k")) or len(documents)
        if not isinstance(best, int) or best < 1:
            raise Problem("invalid request: top_n must be at least 1")
        scores = [(at, score(query, text)) for at, text in enumerate(documents)]
        scores.sort(key=lambda pair: (-pair[1], pair[0]))
        results = [{"index": at, "relevance_score": value} for at, value in scores[:best]]
        counted = tokens(query) * len(documents) + _total(documents)
        reply: dict[str, Any] = {"id": f"rehearsal-{request.number}", "results": results}
        if "/v2/" in request.path:
            reply["meta"] = {"api_version": {"version": "2"}, "billed_units": {"search_units": (len(documents) + 99) // 100}}
        else:
            reply.update(model=model, usage={"total_tokens": counted})
        return _reply(model, [query, *documents], reply, counted)


def _known(model: Any, service: Service) -> str:
    if not service.knows(model):
        raise Problem(f"The model '{model}' does not exist", "model", "model_not_found", 404)
    return str(model)


def _texts(given: Any, most: int, field: str) -> list[str]:
    if not isinstance(given, list) or not given or not all(isinstance(text, str) for text in given):
        raise Problem(f"'${field}' is invalid: a list of strings is needed", field)
    if len(given) > most:
        raise Problem(f"'${field}' is invalid: {len(given)} items, at most {most} are allowed", field)
    for text in given:
        if not text:
            raise Problem(f"'${field}' is invalid: it cannot be an empty string", field)
        if tokens(text) > WINDOW:
            raise Problem(f"This model's maximum context length is {WINDOW} tokens, however you requested {tokens(text)} "
                          "tokens. Please reduce your prompt.", field, "context_length_exceeded")
    return given


def _total(texts: Sequence[str]) -> int:
    return sum(map(tokens, texts))


def _length(given: Any, field: str) -> int:
    if given is None:
        return DIMENSIONS
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MOST_DIMENSIONS:
        raise Problem(f"Invalid value for '{field}': it has to be between 1 and {MOST_DIMENSIONS}", field)
    return given


def _worded(numbers: tuple[float, ...], form: str) -> Any:
    if form == "float":
        return list(numbers)
    if form != "base64":
        raise Problem(f"invalid request: embedding type {form} is not served here")
    packed = array("f", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode("ascii")


def _content(request: Any) -> Any:
    content = request.get("content") if isinstance(request, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    said = [text for text in texts if isinstance(text, str)]
    return "".join(said) if said and len(said) == len(texts) else None


def _reply(model: str, texts: list[str], body: Mapping[str, Any], counted: int | None = None) -> Reply:
    read = _total(texts) if counted is None else counted
    return Reply(body=_json.dumps(body), model=model, prompt="\n".join(texts), identity=str(hash((model, *texts))),
                 charge=(read, 0, 0))


WIRES = (OpenAIEmbeddings(), GoogleEmbeddings(), CohereEmbeddings(), Rankings())
