"""lm-deluge, the asyncio library: `process_prompts_async` with limits that never bind and no display."""
import asyncio
import os

import stand
from lm_deluge import LLMClient
from lm_deluge.models import register_model


def make(options):
    """One client; as its manual has it, one event loop per call."""
    os.environ["BENCHMARK_API_KEY"] = stand.API_KEY
    register_model(id="benchmark", name=options.model, api_base=options.url, api_key_env_var="BENCHMARK_API_KEY",
                   supports_json=True, input_cost=0.4, cached_input_cost=0.1, output_cost=1.6, regions=[])
    client = LLMClient("benchmark", max_requests_per_minute=options.requests_per_minute, max_tokens_per_minute=10**12,
                       max_concurrent_requests=options.slots, max_attempts=options.attempts,
                       request_timeout=options.timeout, temperature=0.75, max_new_tokens=512)
    return lambda prompts: asyncio.run(client.process_prompts_async(prompts, show_progress=False))


if __name__ == "__main__":
    stand.main(make, "lm-deluge", "aiohttp", completion=lambda response: response.completion)
