import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gpuprune import contenders
from gpuprune.errors import GpupruneError
from gpuprune.problem import PREPARING
from tests.conftest import assert_right, json_rows, problem_of

SHAPES = [(1, 1, 1), (3, 2, 1), (5, 64, 51), (70, 33, 17), (129, 130, 64), (16, 200, 257)]
CHECKS = [
    (shape, group, rate, orientation)
    for shape in SHAPES
    for group, rate, orientation in [
        (1, 0.0, "row"),
        (1, 0.9, "row"),
        (4, 0.5, "row"),
        (8, 0.8, "row"),
        (64, 0.9, "row"),
        (3, 1.0, "row"),
        (1, 0.8, "column"),
        (8, 0.7, "column"),
    ]
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", contenders.names())
def test_a_contender_is_right_on_every_shape_it_takes(cpu, name, dtype):
    prepare = contenders.load(name)
    refusals, checked = set(), 0
    for (rows, cols, batch), group, rate, orientation in CHECKS:
        problem = problem_of(
            cpu,
            rows=rows,
            cols=cols,
            batch=batch,
            group=group,
            rate=rate,
            orientation=orientation,
            dtype=dtype,
        )
        problem.renew(PREPARING)
        try:
            variants = prepare(problem, cpu)
        except contenders.NotApplicable as why:
            refusals.add(str(why))
            continue
        for prepared in variants:
            assert_right(cpu, problem, prepared)
            operands = problem.nnz + (rows + cols) * batch  # indices come on top
            assert prepared.bytes >= operands * problem.weights.itemsize
            assert not problem.restore()
            checked += 1
    assert "" not in refusals
    if not checked:
        pytest.skip("; ".join(sorted(refusals)))


@pytest.mark.parametrize("name", contenders.names())
def test_a_contender_repeats_itself_to_the_bit(cpu, name):
    prepared, refusals = [], set()
    for orientation, group in [("row", 4), ("row", 2), ("column", 4)]:  # 130 columns: 4 leave two
        problem = problem_of(
            cpu, rows=70, cols=130, batch=17, group=group, orientation=orientation
        )
        try:
            prepared += contenders.load(name)(problem, cpu)
        except contenders.NotApplicable as why:
            refusals.add(str(why))
    if not prepared:
        pytest.skip("; ".join(sorted(refusals)))
    for one in prepared:
        first = cpu.numpy(one.multiply())
        assert (cpu.numpy(one.multiply()) == first).all()


@pytest.mark.parametrize("name", contenders.names())
def test_a_contender_is_described_in_a_line(name):
    assert contenders.describe(name).endswith(".")


def test_names_are_listed_without_importing_anything():
    assert {"dense", "csr"} <= set(contenders.names())
    before = set(sys.modules)
    contenders.names()
    assert set(sys.modules) == before


def test_dense_always_runs_and_runs_first():
    assert contenders.choose(("csr",), "row", "cpu") == ["dense", "csr"]
    assert contenders.choose(("csr", "dense", "csr"), "row", "cpu") == ["dense", "csr"]
    assert contenders.choose((), "row", "cpu")[:2] == ["dense", "csr"]
    assert set(contenders.choose(("all",), "row", "cpu")) == set(contenders.names())


def test_an_unknown_contender_is_refused_with_the_known_ones():
    with pytest.raises(GpupruneError, match="unknown contender 'crs'") as error:
        contenders.choose(("crs",), "row", "cpu")
    assert "csr" in error.value.hint


NEW_CONTENDER = '''
"""A contender that somebody added."""

from gpuprune.contenders import Prepared


def prepare(problem, backend):
    """Multiply as the dense one does."""
    return [Prepared(multiply=lambda: problem.weights @ problem.activations, bytes=1)]
'''


def test_one_new_file_is_in_help_and_in_the_sweep(run, monkeypatch, tmp_path):
    (tmp_path / "brand_new.py").write_text(NEW_CONTENDER)
    monkeypatch.setattr(contenders, "__path__", [*contenders.__path__, str(tmp_path)])
    assert find_spec("gpuprune.contenders.brand_new")
    assert "brand_new" in contenders.names()
    result = run(
        "bench", "--device", "fake", "--shape", "8x8x2", "--rates", "0.5", "--groups", "1",
        "--contenders", "brand_new", "--format", "csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert ",brand_new," in result.stdout
    sys.modules.pop("gpuprune.contenders.brand_new", None)


def test_the_contender_of_the_how_to_is_right_and_predicted(run, monkeypatch, tmp_path):
    page = Path(__file__).parents[1] / "docs" / "add-a-contender.md"
    code, *_ = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "of_the_how_to.py").write_text(code)
    monkeypatch.setattr(contenders, "__path__", [*contenders.__path__, str(tmp_path)])
    result = run(
        "bench", "--device", "fake", "--shape", "40x30x5", "--rates", "0.5", "--groups", "1",
        "--contenders", "of_the_how_to", "--format", "json",
    )  # fmt: skip
    _, new = json_rows(result)
    assert (new["contender"], new["status"]) == ("of_the_how_to", "ok")
    assert new["predicted_s"] >= new["roofline_s"]
    assert new["bound"] == "memory"
    sys.modules.pop("gpuprune.contenders.of_the_how_to", None)


@pytest.mark.parametrize(
    ("name", "orientation", "reason"),
    [
        (
            "column_group",
            "row",
            "--orientation row asks for groups inside rows, and column_group multiplies groups "
            "down columns",
        ),
        (
            "row_group",
            "column",
            "--orientation column asks for groups down columns, and row_group multiplies groups "
            "inside rows",
        ),
    ],
)
def test_a_contender_of_the_other_orientation_names_the_option(cpu, name, orientation, reason):
    with pytest.raises(contenders.NotApplicable) as declined:
        contenders.load(name)(problem_of(cpu, orientation=orientation), cpu)
    assert str(declined.value) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def prepare(:", "SyntaxError: "),
        ("import nothing_of_this_name", "ModuleNotFoundError: "),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ('"""It prepares nothing."""', "AttributeError: "),
    ],
)
def test_a_file_that_is_no_contender_fails_alone_and_is_named(
    run, monkeypatch, tmp_path, text, reason
):
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.setattr(contenders, "__path__", [*contenders.__path__, str(tmp_path)])
    result = run("bench", "--device", "fake", "--shape", "8x8x2", "--rates", "0.5", "--groups",
                 "1", "--contenders", "broken,csr", "--format", "json")  # fmt: skip
    assert result.exit_code == 0, result.output
    found = {row["contender"]: row for row in json_rows(result)}
    assert found["csr"]["status"] == "ok"
    assert found["broken"]["status"] == "failed"
    assert found["broken"]["reason"].startswith(reason)
    assert f"Warning: broken failed in every case: {reason}" in result.stderr
    sys.modules.pop("gpuprune.contenders.broken", None)


def test_help_lists_every_contender(run):
    text = " ".join(run("bench", "--help").stdout.split())
    for name in contenders.names():
        assert name in text


def test_the_folder_of_contenders_holds_nothing_else():
    folder = Path(contenders.__file__).parent
    stems = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
    assert stems == set(contenders.names())
