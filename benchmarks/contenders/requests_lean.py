"""requests with what costs most taken out: one shared adapter, requests prepared by hand, no environment, no cookies,
no redirects."""
import json
from concurrent.futures import ThreadPoolExecutor

import requests
import stand
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest


def make(options):
    """A pool of `slots` threads that call `HTTPAdapter.send` of one adapter."""
    url = options.url + "/chat/completions"
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=options.slots)
    pool = ThreadPoolExecutor(options.slots)
    verify = requests.Session().merge_environment_settings(url, {}, None, None, None)["verify"]

    def answer(prompt):
        prepared = PreparedRequest()
        prepared.method, prepared.url, prepared.hooks = "POST", url, {"response": []}
        prepared.body = json.dumps(stand.body(options.model, prompt)).encode()
        prepared.headers = {"Authorization": f"Bearer {stand.API_KEY}", "Content-Type": "application/json",
                            "Content-Length": str(len(prepared.body))}
        reply = adapter.send(prepared, timeout=options.timeout, verify=verify)
        return json.loads(reply.content)["choices"][0]["message"]["content"]

    return lambda prompts: list(pool.map(answer, prompts))


if __name__ == "__main__":
    stand.main(make, "requests", "urllib3")
