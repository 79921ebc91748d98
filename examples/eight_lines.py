"""Many prompts in, answers out, in the order of the prompts."""

from deluge import LLMClient

client = LLMClient("rehearsal-echo", max_requests_per_minute=5_000)
questions = [f"What is {n} * 7?" for n in range(200)]
for response in client.process_prompts(questions):
    if response.is_error:
        print("failed:", response.error_message)
    print(response.completion)
