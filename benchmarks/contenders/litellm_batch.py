"""litellm's `batch_completion`, which runs a thread pool of its own."""
import stand
import litellm


def make(options):
    """batch_completion with `slots` workers."""
    def run(prompts):
        replies = litellm.batch_completion(
            model="openai/" + options.model, messages=[[{"role": "user", "content": prompt}] for prompt in prompts],
            api_base=options.url, api_key=stand.API_KEY, max_workers=options.slots, timeout=options.timeout,
            temperature=0.75, top_p=1.0, max_completion_tokens=512)
        return [reply.choices[0].message.content for reply in replies]

    return run


if __name__ == "__main__":
    stand.main(make, "litellm", "openai", "httpx")
