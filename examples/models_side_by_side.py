"""A pool of models: three of four prompts to the first, and what fails there goes to the other."""

from collections import Counter

from deluge import LLMClient, SamplingParams

client = LLMClient(
    ["rehearsal-flaky", "rehearsal-echo"],
    model_weights=[3, 1],
    sampling_params=[SamplingParams(temperature=0.2), SamplingParams(temperature=0.9, max_new_tokens=200)],
    max_requests_per_minute=10_000,
    max_tokens_per_minute=2_000_000,
    progress=None,
)
responses = client.process_prompts([f"Write a slogan for product {n}." for n in range(400)])
print(Counter(response.model_internal for response in responses))
print(sum(len(response.attempts) - 1 for response in responses), "retries,", client.tracker.total_cost, "dollars")
