"""urllib3 in a thread pool: one shared connection pool, `urlopen` (the cheapest public call; `request` costs half as
much again)."""
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import stand
import urllib3


def make(options):
    """A pool of `slots` threads around one HTTPConnectionPool of as many connections."""
    url = urlsplit(options.url)
    connections = urllib3.connection_from_url(options.url, maxsize=options.slots, timeout=options.timeout)
    path = url.path + "/chat/completions"
    headers = {"Authorization": f"Bearer {stand.API_KEY}", "Content-Type": "application/json"}
    pool = ThreadPoolExecutor(options.slots)

    def answer(prompt):
        data = json.dumps(stand.body(options.model, prompt)).encode()
        reply = connections.urlopen("POST", path, body=data, headers=headers)
        return json.loads(reply.data)["choices"][0]["message"]["content"]

    return lambda prompts: list(pool.map(answer, prompts))


if __name__ == "__main__":
    stand.main(make, "urllib3")
