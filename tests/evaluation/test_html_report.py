"""Pages as a browser and a reader without eyes find them."""

import json
import re
import shutil

import numpy as np
import pytest

from puffer_phc.config import Config, to_dict
from puffer_phc.errors import InputError
from puffer_phc.evaluation.html_report import Exhibit, evaluation_page
from puffer_phc.evaluation.metrics import METRICS, ClipResult, summarize
from puffer_phc.evaluation.outcome import Outcome, read_outcome, rows_of, setup_of
from puffer_phc.evaluation.report import write_summary
from puffer_phc.evaluation.run_report import run_page
from puffer_phc.evaluation.statistics import statistics
from tests.page_reader import check_structure

DT = 1 / 30
OPTIONS = to_dict(Config())
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8ffff3f0005fe02fea7354f620000000049454e44ae426082"
)


def results(seed=0, clips=30):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(clips):
        frames = int(rng.integers(20, 200))
        success = bool(rng.random() < 0.7)
        played = frames if success else frames // 3
        metrics = {metric.name: rng.gamma(4.0, 8.0, max(played, 1)) for metric in METRICS}
        name, kind = f"clip <{number}> & co", ("walk", "dance", "jump")[number % 3]
        found.append(ClipResult(name, frames, played, success, metrics, kind))
    return found


def outcome(label, seed=0):
    found = results(seed)
    return Outcome(label, setup_of(OPTIONS), DT, statistics(found, DT), rows_of(found))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One page of each kind, as files."""
    folder = tmp_path_factory.mktemp("pages")
    runs = []
    for seed in (0, 1):
        run = folder / f"run{seed}"
        (run / "eval").mkdir(parents=True)
        options = to_dict(Config()) | {"base": {**OPTIONS["base"], "seed": seed}}
        (run / "config.json").write_text(json.dumps({"options": options, "versions": {"torch": "2"}}))
        rows = [{"step": 64 * n, "seconds": float(n), "reward/mean": 0.1 * n, "eval/success_rate": 0.5} for n in (1, 2)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = results(seed)
        write_summary(run / "eval", summarize(found), found, {"options": options}, statistics(found, DT), "motions")
        runs.append(run)
    exhibits = [Exhibit("clip <0> & co", "lost", PIXEL, "videos/01.mp4")]
    texts = {
        "one": evaluation_page("Evaluation of <a>", [outcome("a")], exhibits),
        "two": evaluation_page("Two", [outcome("a"), outcome("b", 1)], [], "No pictures: no OpenGL."),
        "runs": run_page(runs),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder, texts


@pytest.mark.parametrize("name", ["one", "two", "runs"])
def test_structure(pages, name):
    check_structure(pages[1][name])
    assert "<0> &" not in pages[1][name], "names are text, not markup"


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_both_schemes(pages):
    """Text has 4.5 : 1 against the page and against marked rows; colours of data 3 : 1."""
    style = pages[1]["one"].split("</style>")[0]
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in style.split("@media"))
    for scheme in (light, dark):
        for text in ("ink", "soft", "good", "bad", "s0"):
            assert contrast(scheme[text], scheme["page"]) >= 4.5, text
        assert contrast(scheme["ink"], scheme["mark"]) >= 4.5
        assert all(contrast(scheme[f"s{number}"], scheme["page"]) >= 3.0 for number in range(6))


def test_what_the_pages_say(pages):
    _, texts = pages
    assert 'href="videos/01.mp4"' in texts["one"]
    assert "No pictures: no OpenGL." in texts["two"]
    assert "Over seeds" in texts["two"]
    assert "base.seed" in texts["runs"]
    assert texts["runs"].count("run0") > 5
    assert evaluation_page("Evaluation of <a>", [outcome("a")]) == evaluation_page("Evaluation of <a>", [outcome("a")])


def test_an_evaluation_read_back_is_the_same(tmp_path):
    found = results()
    stats = statistics(found, DT)
    write_summary(tmp_path, summarize(found), found, {"options": OPTIONS}, stats, "motions")
    back = read_outcome(tmp_path, "a")
    assert back.stats == stats
    assert [clip.success for clip in back.clips] == [clip.success for clip in found]
    assert read_outcome(tmp_path / "none", "a") is None
    (tmp_path / "summary.json").write_text('{"statistics": {}}')
    with pytest.raises(InputError, match="damaged"):
        read_outcome(tmp_path, "a")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(pages, scheme):
    """No complaint, nothing wider than the window, and a click on a heading sorts."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no chromium on this machine")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=[*flags, "--disable-component-update"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        for name in ("one", "two", "runs"):
            page.goto((pages[0] / f"{name}.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        page.goto((pages[0] / "one.html").as_uri())
        head = page.locator("table.sortable th button", has_text="error (mm)").first
        column = head.evaluate("button => button.parentElement.cellIndex")
        for ascending in (True, False):
            head.click()
            texts = page.locator("table.sortable tbody tr").evaluate_all(
                "(rows, column) => rows.map(row => +row.cells[column].dataset.v)", column
            )
            assert texts == sorted(texts, reverse=not ascending)
        browser.close()
    assert said == []
