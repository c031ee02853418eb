import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gpuprune
from gpuprune.cli import cli
from tests.accuracy.digits import idx_files

HEAVY = ["altair", "cupy", "jinja2", "llvmlite", "markdown_it", "numba", "numpy", "ray", "rich"]
HEAVY += ["scipy", "tabulate", "torch", "vl_convert"]

# For figures, pages, images to train on and profiler reports: what a lent machine may lack.
NOT_FOR_TIMES = ["altair", "jinja2", "markdown_it", "mlxtend", "ncu_report", "vl_convert"]
NOT_FOR_TIMES += ["wcwidth"]
PROBE = """
import sys
from gpuprune.cli import cli
try:
    cli(sys.argv[1:], prog_name="gpuprune")
except SystemExit as end:
    assert end.code == 0, end.code
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


WITHOUT = """
import sys
sys.modules |= dict.fromkeys(sys.argv.pop(1).split(","))
from gpuprune.cli import cli
cli(sys.argv[1:], prog_name="gpuprune")
"""


def modules_after(*arguments):
    return subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([name, "--help"] for name in sorted(cli.commands))],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    loaded = modules_after(*arguments).split(",")
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    "command",
    [
        "info",
        "bench --device fake --quick --shape 8x8x2",
        "profile --predict --shape 64x64x8 --rates 0.9 --groups 8",
        "accuracy --device cpu --data . --epochs 1 --retrain-epochs 1 --groups 8 "
        "--output accuracy.jsonl",
    ],
)
def test_what_needs_no_figure_needs_no_package_of_figures_and_pages(
    command, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path(gpuprune.__file__).parents[1]))
    monkeypatch.chdir(tmp_path)
    idx_files(tmp_path)
    given = [sys.executable, "-c", WITHOUT, ",".join(NOT_FOR_TIMES), *command.split()]
    done = subprocess.run(given, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr


def test_where_numba_cannot_be_imported_info_says_so_and_goes_on_to_the_gpu():
    given = [sys.executable, "-c", WITHOUT, "numba", "info", "--format", "json"]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cpu, cuda = (
        row["value"]
        for row in map(json.loads, done.stdout.splitlines())
        if row["kind"] == "device"
    )
    assert cpu.startswith("not here: Numba, which compiles the products of the CPU, is not there")
    assert "umba" not in cuda


def test_packing_for_a_gpu_imports_no_numba():
    modules = ["row_group.device", "column_group.device", "nvmath", "torch_csr"]
    lines = [f"import gpuprune.contenders.{name}" for name in modules]
    lines += ["import sys", "sys.exit('numba' in sys.modules)"]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode == 0


def test_a_prediction_of_load_efficiency_imports_no_numba():
    asked = "profile --predict --shape 64x64x8 --rates 0.9 --groups 8 --format json".split()
    assert "numba" not in modules_after(*asked).split(",")


def test_python_m_gpuprune_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "gpuprune", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gpuprune, version ")


@pytest.mark.parametrize(
    ("forbidden", "allowed"),
    [
        ("click", {"__main__", "cli"}),
        ("cupy", {"__main__", "backends", "contenders", "profiler"}),
    ],
)
def test_the_contract_on_a_library_names_every_module_that_does_without_it(forbidden, allowed):
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    (contract,) = (
        one
        for one in project["tool"]["importlinter"]["contracts"]
        if forbidden in one.get("forbidden_modules", ())
    )
    modules = {one.name for one in pkgutil.iter_modules(gpuprune.__path__)}
    assert contract["source_modules"] == [f"gpuprune.{name}" for name in sorted(modules - allowed)]
