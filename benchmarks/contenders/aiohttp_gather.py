"""aiohttp by hand: one session, a semaphore, `asyncio.gather` over all prompts."""
import asyncio

import aiohttp
import stand


def make(options):
    """What one writes for a notebook: no retries, no limits, no usage."""
    url, headers = options.url + "/chat/completions", {"Authorization": f"Bearer {stand.API_KEY}"}

    async def answer(session, semaphore, prompt):
        async with semaphore:
            async with session.post(url, json=stand.body(options.model, prompt), headers=headers) as reply:
                reply.raise_for_status()
                return (await reply.json())["choices"][0]["message"]["content"]

    async def gather(prompts):
        semaphore, connector = asyncio.Semaphore(options.slots), aiohttp.TCPConnector(limit=options.slots)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=options.timeout)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            return await asyncio.gather(*(answer(session, semaphore, prompt) for prompt in prompts))

    return lambda prompts: asyncio.run(gather(prompts))


if __name__ == "__main__":
    stand.main(make, "aiohttp")
