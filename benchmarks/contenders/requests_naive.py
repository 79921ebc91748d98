"""requests as everybody writes it: a Session per thread, `post(json=...)`, `.json()`."""
import threading
from concurrent.futures import ThreadPoolExecutor

import requests
import stand


def make(options):
    """A pool of `slots` threads, each with its own Session."""
    here, url = threading.local(), options.url + "/chat/completions"
    headers = {"Authorization": f"Bearer {stand.API_KEY}"}
    pool = ThreadPoolExecutor(options.slots)

    def answer(prompt):
        if not hasattr(here, "session"):
            here.session = requests.Session()
        reply = here.session.post(url, json=stand.body(options.model, prompt), headers=headers, timeout=options.timeout)
        reply.raise_for_status()
        return reply.json()["choices"][0]["message"]["content"]

    return lambda prompts: list(pool.map(answer, prompts))


if __name__ == "__main__":
    stand.main(make, "requests", "urllib3")
