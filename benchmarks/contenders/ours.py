"""deluge itself: `process_prompts`, or `map` when the prompts come from a generator."""
import stand
from deluge import LLMClient


def make(options):
    """One client with limits that never bind (unless asked for) and no display."""
    client = LLMClient(options.model, base_url=options.url, api_key=stand.API_KEY, progress=None,
                       max_requests_per_minute=options.requests_per_minute,
                       max_tokens_per_minute=options.tokens_per_minute, limit_mode=options.limit_mode,
                       max_new_tokens=options.max_new_tokens, max_concurrent_requests=options.slots,
                       max_attempts=options.attempts, request_timeout=options.timeout, quota=options.quota)
    if options.seconds:
        return lambda prompts: client.map(prompts, timeout=options.seconds)
    if options.feed == "generator":
        return client.map
    return lambda prompts: client.process_prompts(prompts, show_progress=False)


if __name__ == "__main__":
    stand.main(make, "deluge-llm", completion=lambda response: response.completion)
