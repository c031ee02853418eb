"""A figure is written whole, under a name that says how, and over nothing but a figure."""

import re
import struct
from xml.etree import ElementTree

import pytest

from gpuprune import plots
from gpuprune.errors import GpupruneError
from gpuprune.evidence import read
from tests.made_runs import made_results, write_run

BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<svg ", ".html": b"<!doctype html>\n"}
HOSTILE = "m.npz::<script>alert(1)</script>|../../x"


@pytest.fixture
def figure(tmp_path):
    run = write_run(tmp_path / "run.jsonl", made_results(weights=HOSTILE))
    return plots.draw("speedup", read([run]))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "figures").mkdir()
    return tmp_path / "figures"


@pytest.mark.parametrize("suffix", plots.SUFFIXES)
def test_a_figure_is_written_by_its_suffix_and_written_over_by_the_next(figure, folder, suffix):
    path = folder / f"speedup{suffix}"
    plots.write(figure, path)
    first = path.read_bytes()
    assert first.startswith(BEGINNINGS[suffix])
    plots.write(figure, path)
    assert path.read_bytes() == first
    assert list(folder.iterdir()) == [path]


def test_a_png_is_sharp_enough_to_print(figure, folder):
    plots.write(figure, folder / "speedup.png")
    width, height = struct.unpack(">II", (folder / "speedup.png").read_bytes()[16:24])
    assert width > 800
    assert height > 600


def test_an_svg_has_its_text_as_text(figure, folder):
    plots.write(figure, folder / "speedup.svg")
    root = ElementTree.fromstring((folder / "speedup.svg").read_text())  # noqa: S314 - ours
    text = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    for told in ("Speedup of sparse products over dense", "pruning rate", "group size", "1", "8"):
        assert told in text
    assert "<script>alert(1)</script>|../../x" in "".join(root.itertext())
    assert root.find(".//{http://www.w3.org/2000/svg}script") is None


def test_a_page_carries_all_it_needs_and_no_markup_of_a_name(figure, folder):
    plots.write(figure, folder / "speedup.html")
    page = (folder / "speedup.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert re.findall(r"<(?:link|img|iframe|object|embed)\b", page.partition("<script")[0]) == []
    assert re.findall(r"<script[^>]*\bsrc=", page) == []
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("four.jpeg", "'four.jpeg' does not say how it is to be written", ".png or .svg or .html"),
        ("four", "'four' does not say how", ".png"),
        ("nowhere/four.png", "there is no directory", "make it first"),
        ("folder.png", "is no regular file", "another name"),
        ("link.png", "is no regular file", "another name"),
        ("dangling.png", "is no regular file", "another name"),
        ("notes.html", "exists and is no .html of gpuprune", "delete it"),
        ("empty.svg", "exists and is no .svg of gpuprune", "delete it"),
    ],
)
def test_a_name_that_cannot_be_written_is_refused(figure, folder, name, message, hint):
    (folder / "folder.png").mkdir()
    (folder / "notes.html").write_text("<!doctype html>\n<html><p>precious</p></html>")
    (folder / "empty.svg").touch()
    plots.write(figure, folder / "real.png")
    (folder / "link.png").symlink_to(folder / "real.png")
    (folder / "dangling.png").symlink_to(folder / "nothing")
    before = sorted(folder.iterdir())
    with pytest.raises(GpupruneError, match=re.escape(message)) as refused:
        plots.write(figure, folder / name)
    assert hint in refused.value.hint
    assert sorted(folder.iterdir()) == before
    assert "precious" in (folder / "notes.html").read_text()


def test_a_disk_that_is_full_leaves_nothing_behind(figure, folder):
    resource = pytest.importorskip("resource")
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(GpupruneError, match="cannot write"):
            plots.write(figure, folder / "big.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(folder.iterdir()) == []
