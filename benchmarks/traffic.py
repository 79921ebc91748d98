"""The prebuilt replies of the benchmark server and the number that every prompt carries."""
import hashlib
import json
import re

FAULTS = (("500", 0.05), ("429", 0.02), ("reset", 0.01), ("hang", 0.005), ("truncated", 0.005), ("malformed", 0.005))
NUMBER = re.compile(rb"\[#(\d+)\]")
WORDS = "The river rose by night and carried the letters to every house along the bank before the bells rang. "
PROMPT_CHARS = 1400
REPLY_CHARS = 220


def prompt(number: int, chars: int = PROMPT_CHARS) -> str:
    """A prompt of about `chars` characters whose text carries its number."""
    return f"[#{number}] Summarise in one sentence: " + (WORDS * (chars // len(WORDS) + 1))[:chars]


def unnumbered(chars: int = PROMPT_CHARS) -> str:
    """A prompt of the same size that the server answers but does not keep book of (warm-up)."""
    return "Warm up. " + prompt(0, chars).partition("] ")[2]


def fault_of(seed: int, number: int, attempt: int) -> "str | None":
    """The fault that meets this attempt of this prompt: the same for every contender, in whatever order they send."""
    digest = hashlib.blake2b(b"%d/%d/%d" % (seed, number, attempt), digest_size=8).digest()
    dice = int.from_bytes(digest, "big") / 2**64
    for kind, share in FAULTS:
        if dice < share:
            return kind
        dice -= share
    return None


def completion(chars: int = REPLY_CHARS) -> bytes:
    """The body of a good answer: complete enough for the strictest SDK, usage included."""
    text = (WORDS * (chars // len(WORDS) + 1))[:chars]
    return json.dumps({
        "id": "chatcmpl-BenchBenchBenchBenchBench01", "object": "chat.completion", "created": 1_790_000_000,
        "model": "gpt-4.1-mini-2025-04-14", "service_tier": "default", "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                     "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []}}],
        "usage": {"prompt_tokens": 310, "completion_tokens": 48, "total_tokens": 358,
                  "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                  "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}},
    }).encode()


LIMITS = ("x-ratelimit-limit-requests: 10000000", "x-ratelimit-limit-tokens: 10000000000",
          "x-ratelimit-remaining-requests: 9999999", "x-ratelimit-remaining-tokens: 9999999000",
          "x-ratelimit-reset-requests: 6ms", "x-ratelimit-reset-tokens: 0s")


def http(status: str, body: bytes, *headers: str) -> bytes:
    """A whole HTTP reply with the headers that a provider sends, but those of its limits."""
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", "Server: benchmark",
             "x-request-id: req_0123456789abcdef0123456789abcdef", "openai-version: 2020-10-01",
             "openai-processing-ms: 312", *headers, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


def error(kind: str, message: str) -> bytes:
    """An error body in the provider's shape."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": kind}}).encode()


def replies(chars: int = REPLY_CHARS, limits: bool = True) -> "dict[str | None, bytes]":
    """What goes on the wire for a good answer (None) and for each fault that answers at all; with rate-limit headers."""
    body, told = completion(chars), LIMITS if limits else ()
    good = http("200 OK", body, *told)
    return {
        None: good,
        "500": http("500 Internal Server Error", error("server_error", "The server had an error."), *told),
        "429": http("429 Too Many Requests", error("rate_limit_exceeded", "Rate limit reached."), *told,
                    "Retry-After: 1"),
        "truncated": good[:-len(body) // 2],
        "malformed": http("200 OK", body[:-7], *told),
    }
