"""The command line, as processes: what a person types, sees and gets."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import environment, run

from deluge.cli import main
from deluge.cli.arguments import parsed
from deluge.record import RECORD_KEYS
from deluge.models.registry import forget
from deluge.testing import RehearsalServer

DELUGE = (sys.executable, "-m", "deluge")
ECHO = ("-m", "rehearsal-echo")


def deluge(tmp_path: Path, *words: str | Path, input: str = "") -> subprocess.CompletedProcess[str]:
    return run(*DELUGE, *words, cwd=tmp_path, input=input)


def write(path: Path, *values: Any) -> Path:
    path.write_text("".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values))
    return path


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- run --------------------------------------------------------------------------------------------------------------

def test_a_run(tmp_path: Path) -> None:
    hello = {"prompt": "hello", "id": "h", "topic": "greeting", "max_tokens": 300}
    write(tmp_path / "in.jsonl", '"What is 6 * 7?"', hello)
    more = ("--summary-json", "s.json", "--system", "Be brief.")
    done = deluge(tmp_path, "run", "in.jsonl", *ECHO, "-o", "out.jsonl", *more)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert re.search(r"^prompts +2: 2 answered$", done.stderr, re.M) and re.search(r"^speed ", done.stderr, re.M)
    first, second = sorted(records(tmp_path / "out.jsonl"), key=lambda item: int(item["index"]))
    assert list(first) == list(second) == list(RECORD_KEYS)
    assert first["completion"] == "42" and first["prompt"][0] == {"role": "system", "content": "Be brief."}
    assert (second["id"], second["metadata"], second["completion"]) == ("h", {"topic": "greeting"}, "hello")
    assert second["cost"] > 0 and second["output_tokens"] > 0 and second["model"] == "rehearsal-echo"
    counted = json.loads((tmp_path / "s.json").read_text())
    assert counted["succeeded"] == counted["requests_sent"] == 2 and counted["done"] == 2


def test_bad_rows_fail_alone(tmp_path: Path) -> None:
    wrong = {"prompt": "x", "id": 3, "temperature": 9}, {"prompt": "y", "model": "nope"}, {"prompt": "z", "model": "gpt-4.1"}
    write(tmp_path / "in.jsonl", '"good"', "not json", *wrong)
    done = deluge(tmp_path, "run", "in.jsonl", *ECHO, "-o", "out.jsonl")
    assert done.returncode == 1 and re.search(r"^failed +4 input$", done.stderr, re.M), done.stderr
    out = {item["index"]: item for item in records(tmp_path / "out.jsonl")}
    assert out[0]["completion"] == "good" and not out[0]["is_error"]
    assert [out[n]["error_kind"] for n in (1, 2, 3, 4)] == ["input"] * 4
    assert out[1]["error_message"].startswith("line 2: not JSON") and out[2]["id"] == 3
    assert "unknown model 'nope'" in out[3]["error_message"] and "OPENAI_API_KEY" in out[4]["error_message"]
    assert out[1]["completion"] is None and out[1]["attempts"] == 0


def test_csv_stdin_stdout_and_templates(tmp_path: Path) -> None:
    text = 'id,word\n1,"two\nlines"\n2,one\n'
    done = deluge(tmp_path, "run", "-", *ECHO, "-o", "-", "--column", "word", "-q", input=text)
    assert done.returncode == 0 and done.stderr == ""
    assert sorted(json.loads(line)["completion"] for line in done.stdout.splitlines()) == ["one", "two\nlines"]
    (tmp_path / "in.csv").write_text(text)
    done = deluge(tmp_path, "run", "in.csv", *ECHO, "-o", "-", "--template", "<{word}>", "--limit", "1", "--no-prompts")
    record, = map(json.loads, done.stdout.splitlines())
    assert record["completion"] == "<two\nlines>" and record["prompt"] is None and record["id"] == "1"


def test_a_pool_a_schema_and_a_configuration(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", *[f'"Invent person {n} as JSON."' for n in range(40)])
    fields = {"name": {"type": "string"}}
    schema = {"type": "object", "properties": fields, "required": ["name"], "additionalProperties": False}
    write(tmp_path / "schema.json", schema)
    (tmp_path / "client.yaml").write_text(
        "model_names: [rehearsal-slow]\nmodel_weights: [1]\nmax_requests_per_minute: 10000\n"
        "sampling_params: {temperature: 0.3, max_new_tokens: 1}\n"
    )
    more = ("-m", "rehearsal-limited", "--schema", "schema.json", "--max-tokens", "400")
    done = deluge(tmp_path, "run", "in.jsonl", "--config", "client.yaml", *ECHO, "-o", "out.jsonl", *more)
    assert done.returncode == 0, done.stderr
    out = records(tmp_path / "out.jsonl")
    assert sorted(item["model"] for item in out) == ["rehearsal-echo"] * 20 + ["rehearsal-limited"] * 20
    assert all(set(json.loads(item["completion"])) == {"name"} for item in out)


def test_any_server_that_speaks_the_protocol(tmp_path: Path) -> None:
    with RehearsalServer() as server:
        write(tmp_path / "in.jsonl", '"hi"')
        done = deluge(tmp_path, "run", "in.jsonl", "-m", "some-llama", "--base-url", server.base_url, "-o", "out.jsonl")
        assert done.returncode == 0, done.stderr
        assert server.count == 1
    assert records(tmp_path / "out.jsonl")[0]["cost"] is None and "unknown (1 prompt unpriced)" in done.stderr


def test_lines_are_written_as_prompts_finish(tmp_path: Path) -> None:
    with RehearsalServer(latency=0.01) as server:
        command = [*DELUGE, "run", "-", "-m", "m", "--base-url", server.base_url, "-o", "-", "-q"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), cwd=tmp_path, text=True
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("".join(f'"{n}"\n' for n in range(1_000)))
            process.stdin.flush()
            first = process.stdout.readline()  # while the end of the input is not known
            assert json.loads(first)["is_error"] is False
            process.stdin.close()
            assert len(process.stdout.readlines()) == 999
    assert process.returncode == 0


# -- what goes wrong --------------------------------------------------------------------------------------------------

def test_a_prompt_that_is_no_text_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xffb"), "utf-8"))
    assert main(["ask", "-", *ECHO]) == 2
    assert capsys.readouterr().err == "deluge: the prompt from stdin is not UTF-8\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
def test_a_full_disk_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["models", "gpt-4.1"]) == 1
    assert capsys.readouterr().err == "deluge: the output: No space left on device\n"


@pytest.mark.parametrize("words, message", [
    (("run", "in.jsonl", "-o", "new.jsonl"), "which model? -m MODEL"),
    (("run", "in.jsonl", "-m", "rehearsal-ecko", "-o", "new.jsonl"), "did you mean rehearsal-echo"),
    (("run", "in.jsonl", "-m", "gpt-4.1", "-o", "new.jsonl"), "OPENAI_API_KEY"),
    (("run", "in.jsonl", "-m", "gpt-4.1", "-o", "new.jsonl"), "-m rehearsal-echo"),
    (("run", "absent.jsonl", *ECHO, "-o", "new.jsonl"), "absent.jsonl cannot be read: No such file"),
    (("run", "in.jsonl", *ECHO, "-o", "no/new.jsonl"), "no/new.jsonl cannot be written: No such file"),
    (("run", "in.jsonl", *ECHO, "-o", "there.jsonl"), "there.jsonl exists already; --overwrite"),
    (("run", "in.jsonl", *ECHO, "-o", "in.jsonl", "--overwrite"), "in.jsonl is the work list itself"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--template", "{"), "a brace is written"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--schema", "absent"), "absent cannot be read"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--schema", "bad.yaml"), "bad.yaml is not JSON"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--config", "bad.yaml"), "bad.yaml"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--config", "odd.yaml"), "colour"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--summary-json", "no/s.json"), "no/s.json cannot be written"),
    (("run", "in.jsonl", *ECHO, "-o", "a.jsonl", "--summary-json", "./a.jsonl"), "as --output and as --summary-json"),
    (("run", "in.jsonl", *ECHO, "-o", "a.jsonl", "--report", "in.jsonl"), "as the work list and as --report"),
    (("run", "in.jsonl", *ECHO, "-o", "a.jsonl", "--cache", "c", "--report", "c"), "as --cache and as --report"),
    (("run", "in.jsonl", *ECHO, "-o", "new.jsonl", "--base-url", "localhost:8000"), "http://"),
    (("ask", "hi", "-m", "gpt-4.1"), "-m rehearsal-echo"),
    (("ask", "hi"), "OPENAI_API_KEY"),
    (("ask", "hi"), "-m rehearsal-echo"),
])
def test_usage_errors_are_one_line_and_nothing_is_lost(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    write(tmp_path / "in.jsonl", '"hi"')
    write(tmp_path / "there.jsonl", "precious")
    (tmp_path / "bad.yaml").write_text("a: !!python/object:os.system {}\n")
    (tmp_path / "odd.yaml").write_text("colour: red\n")
    done = deluge(tmp_path, *words)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.startswith(("deluge", "2", "1", "0")) and done.stdout == ""
    assert not (tmp_path / "new.jsonl").exists() and (tmp_path / "there.jsonl").read_text() == "precious\n"
    assert (tmp_path / "in.jsonl").read_text() == '"hi"\n'


@pytest.mark.parametrize("words, message", [
    ((), "arguments are required: COMMAND"),
    (("fly",), "invalid choice: 'fly'"),
    (("run", "f"), "-o/--output"),
    (("run", "f", "-o", "o", "--rpm", "0"), "'0' is not a number from 1 up"),
    (("run", "f", "-o", "o", "--timeout", "0"), "more than 0 seconds"),
    (("run", "f", "-o", "o", "--temperature", "nan"), "'nan' is not a number from 0 to 2"),
    (("run", "f", "-o", "o", "-q", "-v"), "not allowed with"),
    (("rehearse", "--port", "99999"), "is not a port"),
])
def test_wrong_flags(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == "" and message in err and err.count("\n") == 1


def test_numbers_may_have_separators() -> None:
    options = parsed(["run", "f", "-o", "o", "--rpm", "5_000", "--tpm", "2,000,000"])
    assert (options.rpm, options.tpm) == (5_000, 2_000_000)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_ends_the_run_and_is_said(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", *[f'"{n}"' for n in range(500)])
    done = deluge(tmp_path, "run", "in.jsonl", *ECHO, "-o", "/dev/full")
    assert done.returncode == 1 and "/dev/full cannot be written any more: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed, words, code", [
    ("2>&-", ("run", "in.jsonl", *ECHO, "-o", "out.jsonl"), 0), ("1>&-", ("run", "in.jsonl", *ECHO, "-o", "out.jsonl"), 0),
    ("1>&-", ("run", "in.jsonl", *ECHO, "-o", "-"), 2), ("1>&-", ("ask", "hi", *ECHO), 2),
    ("0<&-", ("run", "-", *ECHO, "-o", "-"), 0), ("2</dev/null", ("run", "in.jsonl", *ECHO, "-o", "out.jsonl"), 0),
])
def test_a_stream_that_is_closed_costs_nothing_else(
    tmp_path: Path, closed: str, words: tuple[str, ...], code: int,
) -> None:
    write(tmp_path / "in.jsonl", '"one"', '"two"')
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "deluge", *words], cwd=tmp_path,
                          env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert ("stdout is closed" in done.stderr) == (code == 2)
    assert "out.jsonl" not in words or len(records(tmp_path / "out.jsonl")) == 2


def test_a_reader_that_leaves_ends_the_run_quietly(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", *[f'"{n}"' for n in range(3_000)])
    command = f"{sys.executable} -m deluge run in.jsonl -m rehearsal-echo -o - -q | head -1; exit ${{PIPESTATUS[0]}}"
    done = run("bash", "-c", command, cwd=tmp_path)
    assert done.stdout.count("\n") == 1 and done.stderr == "" and done.returncode == 141


INTERRUPTED = """
import signal, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder)
from deluge.cli import main
sys.exit(main(["models"]))
"""


@pytest.mark.parametrize("module", ["deluge.cli.arguments", "pydantic_core"])
def test_ctrl_c_while_the_command_is_loading_ends_it_without_a_word(tmp_path: Path, module: str) -> None:
    done = run(sys.executable, "-c", INTERRUPTED, module, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("name, code, word", [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_keeps_what_is_finished(tmp_path: Path, name: str, code: int, word: str) -> None:
    write(tmp_path / "in.jsonl", *[f'"prompt {n}"' for n in range(400)])
    script = ["none"] * 100 + ["hang"] * 300
    with RehearsalServer(latency=0.01, script=[None if item == "none" else item for item in script]) as server:
        with subprocess.Popen(
            [*DELUGE, "run", "in.jsonl", "-m", "m", "--base-url", server.base_url, "-o", "out.jsonl", "--concurrency", "20"],
            stderr=subprocess.PIPE, env=environment(), cwd=tmp_path, text=True,
        ) as process:
            path = tmp_path / "out.jsonl"
            wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") == 100, process)
            process.send_signal(getattr(signal, name))
            _, errors = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in errors, errors
    assert f"{word}: the records of 100 prompts are in out.jsonl" in errors and "400: 100 answered" in errors
    assert len(records(path)) == 100 and not any(item["is_error"] for item in records(path))


def test_the_same_command_goes_on(tmp_path: Path) -> None:
    rows = [*[f'"p{n}"' for n in range(30)], "not json"]
    with RehearsalServer(latency=0.0, script=[None] * 10 + ["400"]) as server:
        def go(*words: str) -> subprocess.CompletedProcess[str]:
            return deluge(tmp_path, "run", "in.jsonl", "-m", "m", "--base-url", server.base_url, "-o", "out.jsonl", *words)

        write(tmp_path / "in.jsonl", *rows)
        first = go("--limit", "20")
        assert first.returncode == 1 and server.count == 20
        assert re.search(r"^next +deluge run … -o out.jsonl --retry-failed$", first.stderr, re.M), first.stderr
        second = go()
        assert server.count == 30 and re.search(r"^prompts +31: 29 answered, 2 failed \| 20 resumed", second.stderr, re.M)
        third = go("--retry-failed")
        assert server.count == 31 and re.search(r"^prompts +31: 30 answered, 1 failed \| 29 resumed", third.stderr, re.M)
        assert sorted(item["index"] for item in records(tmp_path / "out.jsonl")) == list(range(31))
        write(tmp_path / "in.jsonl", *rows[:30])
        last = go()
        assert (last.returncode, server.count) == (0, 31) and "next" not in last.stderr, last.stderr
        hot = go("--temperature", "1")
        assert hot.returncode == 0 and server.count == 61
        assert "30 answers in the journal are for other parameters" in hot.stderr
        assert len(records(tmp_path / "out.jsonl")) == 30
        back = go()
        assert server.count == 61 and re.search(r"^prompts +30: 30 answered \| 30 resumed", back.stderr, re.M), back.stderr
        assert go("--overwrite").returncode == 0 and server.count == 91
    assert sorted(os.listdir(tmp_path)) == ["in.jsonl", "out.jsonl", "out.jsonl.runs"]


def test_a_signal_before_the_first_answer_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", '"one"', '"two"')
    with RehearsalServer(script=["hang"] * 10) as server:
        with subprocess.Popen(
            [*DELUGE, "run", "in.jsonl", "-m", "m", "--base-url", server.base_url, "-o", "out.jsonl"],
            stderr=subprocess.PIPE, env=environment(), cwd=tmp_path, text=True,
        ) as process:
            wait_until(lambda: server.count == 2, process)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted: nothing was answered yet" in errors
    assert not (tmp_path / "out.jsonl").exists()


def wait_until(true: Any, process: subprocess.Popen[str]) -> None:
    """Looks until it is true; the test's own time limit is the process's."""
    for _ in range(600):
        if true():
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    process.kill()
    pytest.fail(f"it never came: {process.communicate()[1]}")


# -- the other commands -----------------------------------------------------------------------------------------------

def test_ask(tmp_path: Path) -> None:
    assert deluge(tmp_path, "ask", "What is 6 * 7?", *ECHO).stdout == "42\n"
    assert deluge(tmp_path, "ask", "-", *ECHO, input="from stdin").stdout == "from stdin\n"
    assert deluge(tmp_path, "ask", "a\udcffb", *ECHO).stdout == "a?b\n"
    assert deluge(tmp_path, "ask", "piece by piece", "--stream", *ECHO).stdout == "piece by piece\n"


def test_ask_says_why_there_is_no_answer(tmp_path: Path) -> None:
    with RehearsalServer(script=["400"]) as server:
        done = deluge(tmp_path, "ask", "hi", "-m", "m", "--base-url", server.base_url)
    assert done.returncode == 1 and done.stdout == "" and "deluge: bad_request: " in done.stderr
    assert "Traceback" not in done.stderr


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "rehearsal", "ECHO"]) == 0
    header, row, *_ = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["id", "provider"] and row.split()[:4] == ["rehearsal-echo", "rehearsal", "0.10", "0.40"]
    assert main(["models", "gpt-4.1", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"gpt-4.1", "gpt-4.1-mini"} <= {item["id"] for item in found} and all(item["input_price"] for item in found[:1])
    assert main(["models", "no such thing"]) == 1
    assert "provider:model" in capsys.readouterr().err


def test_models_by_provider_flag_and_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def found(*words: str) -> list[dict[str, Any]]:
        assert main(["models", "--json", *words]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    everything = found()
    claude = found("--provider", "claude")
    assert {row["provider"] for row in claude} == {"anthropic"} and len(claude) < len(everything)
    cheap = found("--flag", "images", "--flag", "supports_tools", "--without", "retired", "--max-input", "0.5",
                  "--max-output", "2", "--sort", "input_price", "--limit", "4", "--min-context", "100_000")
    assert len(cheap) == 4 and all({"supports_images", "supports_tools"} <= set(row["flags"]) for row in cheap)
    assert [row["input_price"] for row in cheap] == sorted(row["input_price"] for row in cheap)
    assert all(row["input_price"] <= 0.5 and row["output_price"] <= 2 and row["context_window"] >= 1e5 for row in cheap)
    own = tmp_path / "own.yaml"
    own.write_text("models:\n  - {id: my-own-model, base_url: 'http://localhost:1/v1', input_price: 0.25}\n", "utf-8")
    assert [row["input_price"] for row in found("my-own-model", "--config", str(own))] == [0.25]
    for wrong in ("--flag", "no_such"), ("--provider", "nobody"), ("--sort", "beauty"):
        assert main(["models", *wrong]) == 2 and wrong[1] in capsys.readouterr().err
    forget("my-own-model")


def test_version_and_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.fullmatch(r"deluge \d+\.\d+\.\d+\S*\n", deluge(tmp_path, "--version").stdout)
    for words in ((), ("run",), ("ask",), ("models",), ("rehearse",)):
        with pytest.raises(SystemExit) as end:
            main([*words, "--help"])
        assert end.value.code == 0 and capsys.readouterr().out.startswith("usage: deluge")


def test_rehearse_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*DELUGE, "rehearse", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+/v1", process.stdout.readline())
        assert found is not None
        assert deluge(tmp_path, "ask", "hi", "-m", "any", "--base-url", found[0]).stdout == "hi\n"
        process.terminate()
        out, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a terminal")
def test_a_terminal_shows_progress(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", *[f'"{n}"' for n in range(300)])
    here, there = pty.openpty()
    with subprocess.Popen(
        [*DELUGE, "run", "in.jsonl", *ECHO, "-o", "out.jsonl"], stdin=subprocess.DEVNULL, stdout=there, stderr=there,
        env={**environment(), "TERM": "xterm"}, cwd=tmp_path,
    ) as process:
        os.close(there)
        shown = read_all(here)
    assert process.returncode == 0 and "300" in shown and "rehearsal-echo" in shown and "300 answered" in shown
    assert "\x1b[" in shown


def read_all(terminal: int) -> str:
    """Everything until the other side is closed, which Linux tells with an error."""
    data = b""
    try:
        while chunk := os.read(terminal, 65536):
            data += chunk
    except OSError:
        pass
    os.close(terminal)
    return data.decode("utf-8", "replace")
