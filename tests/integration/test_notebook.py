"""The notebook of the examples in a real kernel, and a cell that is interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from typing import Any

import pytest
from processes import environment
from servers import EXAMPLES

from deluge.testing import RehearsalServer

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
              pytest.mark.filterwarnings("ignore::ResourceWarning")]
pytest.importorskip("ipykernel")

NOTEBOOK = EXAMPLES / "notebook.ipynb"


class Kernel:
    """Cells in, what they gave out."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    def run(self, source: str) -> tuple[str, dict[str, Any]]:
        """The cell's last expression as text, and the reply."""
        shown: list[str] = []

        def take(message: dict[str, Any]) -> None:
            if message["msg_type"] == "execute_result":
                shown.append(message["content"]["data"]["text/plain"])

        reply = self.client.execute_interactive(source, timeout=60, output_hook=take)["content"]
        return "".join(shown), reply


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    from jupyter_client.manager import start_new_kernel

    folder = str(tmp_path_factory.mktemp("kernel"))
    variables = {name: value for name, value in environment().items() if name != "PYTHONWARNINGS"}
    variables |= {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder, "JUPYTER_CONFIG_DIR": folder}
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=60, env=variables, cwd=folder)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_the_notebook_runs(kernel: Kernel) -> None:
    results = []
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "a notebook is kept without its outputs"
            result, reply = kernel.run("".join(cell["source"]))
            assert reply["status"] == "ok", reply
            results.append(result)
    assert results[:2] == ["['329', '336', '343']", "'20'"]
    assert results[3:5] == ["'How are you?'", "'42'"]


def test_an_interrupted_cell_keeps_what_was_answered(kernel: Kernel) -> None:
    with RehearsalServer(latency=0.0) as provider:
        kernel.run("from deluge import LLMClient\n"
                   f"client = LLMClient('m', base_url={provider.base_url!r}, max_concurrent_requests=1, progress=None)")
        number = kernel.client.execute("client.process_prompts([f'quick {n}' for n in range(20)] + ['[[latency 60]]'])")
        provider.wait_for_requests(21, 30)
        began = time.monotonic()
        kernel.manager.interrupt_kernel()
        while True:
            reply = kernel.client.get_shell_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == number:
                break
        assert time.monotonic() - began < 5 and reply["content"]["ename"] == "Interrupted"
        assert kernel.run("import sys; kept = sys.last_value.responses; kept[0].completion, kept[20], len(kept)")[0] == (
            "('quick 0', None, 21)")
        assert kernel.run("client.ask('after').completion")[0] == "'after'"
