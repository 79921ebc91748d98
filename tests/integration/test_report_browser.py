"""The report in a real browser: it renders in both schemes, fits a phone, and hostile records stay text."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from report_records import HOSTILE, Page, made, written

from deluge.report import RunNotes, save_notes, write_report

pytestmark = pytest.mark.integration
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        assert "CI" not in os.environ, "the Debian package chromium is missing"
        pytest.skip("the Debian package chromium is not installed")
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    records = [made(n, latency=0.2 + n % 17, completion=HOSTILE[n % len(HOSTILE)]) for n in range(300)]
    records += [made(400 + n, is_error=True, error_kind="server", error_message=text, prompt=text, id=text, model=text)
                for n, text in enumerate(HOSTILE)]
    source = written(folder / "run.jsonl", *records)
    save_notes(source, RunNotes(1_700_000_000.0, 300.0, 60.0, 5_000.0, 10, 330, {"server": 20},
                                limited={n: {"requests/min": 40.0, "slots": 10.0} for n in range(5)}))
    write_report(source, folder / "run.html")
    return folder / "run.html"


def run(browser: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([browser, *FLAGS, f"--user-data-dir={folder}", *flags], capture_output=True, timeout=120)


def test_hostile_records_stay_text(browser: str, report: Path, tmp_path: Path) -> None:
    done = run(browser, tmp_path, "--dump-dom", "--virtual-time-budget=2000", report.as_uri())
    dom = done.stdout.decode("utf-8")
    assert "<title>run.jsonl</title>" in dom, done.stderr[-500:]
    page = Page(dom)
    assert not page.tags & {"script", "img", "iframe", "object", "link"}
    assert sum(HOSTILE[0] in text for text in page.texts) >= 2


@pytest.mark.parametrize("scheme, size", [("light", "1100,1400"), ("dark", "390,844")])
def test_it_renders(browser: str, report: Path, tmp_path: Path, scheme: str, size: str) -> None:
    shot = tmp_path / "shot.png"
    dark = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if scheme == "dark" else ()
    done = run(browser, tmp_path / "profile", f"--screenshot={shot}", f"--window-size={size}", "--hide-scrollbars", *dark,
               report.as_uri())
    data = shot.read_bytes()
    assert data.startswith(b"\x89PNG"), done.stderr[-500:]
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == tuple(int(part) for part in size.split(","))
    assert len(data) > 20_000, "an empty page compresses to less"


def test_it_fits_a_phone(browser: str, report: Path, tmp_path: Path) -> None:
    """Nothing is wider than the screen: a page measures the report in a frame of a phone's width."""
    probe = tmp_path / "probe.html"
    probe.write_text(
        f"<body><iframe id=f width=390 height=844 src='{report.as_uri()}'></iframe><script>"
        "f.onload=()=>{const d=f.contentDocument.documentElement;document.title=d.scrollWidth+'/'+d.clientWidth}</script>",
        "utf-8")
    done = run(browser, tmp_path / "profile", "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=3000",
               probe.as_uri())
    title = done.stdout.decode("utf-8").split("<title>")[1].split("</title>")[0]
    scroll, client = (int(part) for part in title.split("/"))
    assert 0 < scroll <= client <= 390
