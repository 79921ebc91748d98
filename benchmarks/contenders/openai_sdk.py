"""The openai SDK, its blocking client shared by a thread pool."""
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import stand


def make(options):
    """A pool of `slots` threads around one OpenAI client with as many connections."""
    limits = httpx.Limits(max_connections=options.slots, max_keepalive_connections=options.slots)
    client = openai.OpenAI(base_url=options.url, api_key=stand.API_KEY, max_retries=options.attempts - 1,
                           timeout=options.timeout, http_client=openai.DefaultHttpxClient(limits=limits))
    pool = ThreadPoolExecutor(options.slots)

    def answer(prompt):
        reply = client.chat.completions.create(**stand.body(options.model, prompt))
        return reply.choices[0].message.content

    return lambda prompts: list(pool.map(answer, prompts))


if __name__ == "__main__":
    stand.main(make, "openai", "httpx")
