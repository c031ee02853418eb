"""How large a page of 2,000 results is, how long it takes to make, and to open in Chromium.

    python benchmarks/open_page.py CHROMIUM

Its peer is an empty page in the same browser: what opening costs at the least.
"""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright
from script import Parser, run

from gpuprune import page
from gpuprune.evidence import read
from gpuprune.units import format_bytes
from tests.made_runs import made_results, write_run

LAYERS = 15
REPEATS = 9
RATES = [round(0.8 + 0.02 * step, 2) for step in range(10)]
GROUPS = (1, 2, 4, 8, 16, 32, 64)


def main() -> None:
    """Print one line a page."""
    parser = Parser(__doc__)
    parser.add_argument("chromium", metavar="CHROMIUM", help="the browser's program")
    chromium = parser.parse_args().chromium
    table = {group: {rate: 0.1 * group / (1 - rate) for rate in RATES} for group in GROUPS}
    results = [
        one for i in range(LAYERS) for one in made_results(table, weights=f"m.npz::layer.{i}")
    ]
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        full, empty = Path(folder, "full.html"), Path(folder, "empty.html")
        run = write_run(Path(folder, "run.jsonl"), results)
        start = time.perf_counter()
        page.write(read([run]), full)
        print(f"made in {time.perf_counter() - start:.1f} s: {len(results)} results")
        empty.write_text("<!doctype html><title>empty</title><figure class=drawn>.</figure>")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path in (empty, full):
            seconds = median(opened(browser, path) for _ in range(REPEATS))
            size = format_bytes(path.stat().st_size)
            print(f"{path.stem:6} {size:>9} opens in {seconds:.2f} s")
        browser.close()


def opened(browser: Browser, path: Path) -> float:
    """Return the seconds until the first figure stands in a new tab."""
    tab = browser.new_page()
    start = time.perf_counter()
    tab.goto(path.as_uri())
    tab.wait_for_selector("figure.drawn")
    seconds = time.perf_counter() - start
    tab.close()
    return seconds


if __name__ == "__main__":
    run(main)
