"""What figures show is read as it was written, or refused with a sentence."""

import json
from dataclasses import replace

import pytest

from gpuprune.errors import GpupruneError
from gpuprune.evidence import Efficiency, name_layers, only_layers, read
from gpuprune.records import Contract
from tests.made_runs import (
    CALIBRATION,
    made_results,
    made_run,
    predicted_row,
    trained,
    write_profile,
    write_run,
    write_training,
)


def names(tmp_path, *runs):
    paths = [write_run(tmp_path / f"{i}.jsonl", run=run) for i, run in enumerate(runs)]
    return [bench.name for bench in read(paths).benches]


def test_a_run_is_named_by_its_device(tmp_path):
    assert names(tmp_path, made_run()) == ["GPU A"]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {"device_name": "GPU B"}, ["GPU A", "GPU B"]),
        ({}, {"device_name": "GPU B", "node": "there"}, ["GPU A", "GPU B"]),
        ({}, {"node": "there"}, ["here", "there"]),
        ({"threads": 1}, {"threads": 2}, ["1 thread", "2 threads"]),
        ({}, {"configuration": {"orientation": "column"}}, ["row groups", "column groups"]),
        ({}, {"started": "2026-01-02"}, ["0.jsonl", "1.jsonl"]),
        ({}, {}, ["0.jsonl", "1.jsonl"]),
    ],
)
def test_runs_are_named_by_what_tells_them_apart(tmp_path, first, second, told):
    assert names(tmp_path, made_run(**first), made_run(**second)) == told


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / folder / "run.jsonl" for folder in ("old", "new")]
    for path in paths:
        path.parent.mkdir()
        write_run(path)
    assert [bench.name for bench in read(paths).benches] == [str(path) for path in paths]


def test_timing_contracts_are_not_mixed(tmp_path):
    cold = write_run(tmp_path / "cold.jsonl")
    warm = write_run(tmp_path / "warm.jsonl", run=made_run(contract=Contract(cache="warm")))
    with pytest.raises(GpupruneError) as refused:
        read([cold, warm])
    assert str(refused.value) == (
        f"the runs were timed in different ways: {cold} with cache 'cold', {warm} with 'warm'"
    )
    assert refused.value.hint == "measure them again with the same options, or show them apart"


def test_a_run_without_results_is_refused(tmp_path):
    path = write_run(tmp_path / "empty.jsonl", [])
    with pytest.raises(GpupruneError, match="holds no results"):
        read([path])


@pytest.mark.parametrize("content", [b"", b"\n", b"not json\n", b"[]\n", b'{"record":"x"}\n'])
def test_what_is_no_run_is_refused(tmp_path, content):
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(GpupruneError, match="is not a run file: "):
        read([path])


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    for path in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(GpupruneError, match="cannot read"):
            read([path])


def test_a_run_that_is_given_twice_is_refused(tmp_path):
    path = write_run(tmp_path / "run.jsonl")
    (tmp_path / "hard.jsonl").hardlink_to(path)
    with pytest.raises(GpupruneError, match="are one file"):
        read([path, tmp_path / "hard.jsonl"])
    with pytest.raises(GpupruneError, match="is given twice"):
        read([path, tmp_path / "." / "run.jsonl"])


def test_a_torn_last_line_is_left_out_and_told(tmp_path):
    path = write_run(tmp_path / "run.jsonl", is_finished=False)
    path.write_bytes(path.read_bytes()[:-5])
    found = read([path])
    assert len(found.benches[0].results) == 7
    torn, running = found.warnings
    assert "the last line is incomplete or damaged and is left out" in torn
    assert running == f"{path}: the run has not ended; shown is what it has measured so far"


def test_a_run_that_is_torn_before_its_first_result_is_refused(tmp_path):
    path = write_run(tmp_path / "run.jsonl")
    header, first, *_ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + first[:40])
    with pytest.raises(GpupruneError, match="holds no results"):
        read([path])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", "0.9"),
        ("rate", 1.5),
        ("rate", None),
        ("group", 0),
        ("group", 1.5),
        ("group", True),
        ("rows", "<script>"),
        ("rows", -1),
        ("batch", [1]),
        ("rows", 10**400),
        ("weights", 3),
        ("dtype", "int8"),
        ("samples_s", [0.0]),
        ("samples_s", []),
        ("samples_s", ["a"]),
        ("roofline_s", -1.0),
        ("roofline_s", "a"),
        ("nnz", "a"),
        ("contender", ["csr"]),
        ("reason", 3),
    ],
)
def test_a_value_that_no_run_holds_is_refused(tmp_path, field, value):
    path = write_run(tmp_path / "run.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("crc")
    changed = lines[1]["case"] if field in lines[1]["case"] else lines[1]
    changed[field] = value
    write_profile(path, *lines)
    with pytest.raises(GpupruneError, match=rf"{field} is .+ in result 1"):
        read([path])


def test_a_run_that_lacks_a_result_is_told_and_one_that_has_one_twice_refused(tmp_path):
    lines = write_run(tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    lacking, doubled = tmp_path / "lacking.jsonl", tmp_path / "doubled.jsonl"
    lacking.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    doubled.write_bytes(b"".join([*lines[:3], *lines[2:]]))
    count = len(lines) - 2
    (warning,) = read([lacking]).warnings
    assert warning == f"{lacking}: its end tells of {count} results, and {count - 1} are there"
    with pytest.raises(GpupruneError, match="result 3 repeats result 2"):
        read([doubled])


@pytest.mark.parametrize(
    "changes", [{"device_name": ["a"]}, {"packages": 3}, {"threads": "two"}, {"busy_cores": "a"}]
)
def test_a_machine_that_no_run_describes_is_refused(tmp_path, changes):
    path = write_run(tmp_path / "run.jsonl", run=made_run(**changes))
    with pytest.raises(
        GpupruneError, match="the machine that it describes has a value of another kind"
    ):
        read([path])


@pytest.mark.parametrize("changes", [{"cache_bytes": "a"}, {"flops_per_s": {"float32": 0.0}}])
def test_a_calibration_that_no_run_has_is_refused(tmp_path, changes):
    run = replace(made_run(), calibration=replace(CALIBRATION, **changes))
    path = write_run(tmp_path / "run.jsonl", run=run)
    with pytest.raises(GpupruneError, match="its first line has a value of another kind"):
        read([path])


def test_an_environment_that_names_no_device_is_refused(tmp_path):
    run = made_run()
    del run.environment["device_name"]
    path = write_run(tmp_path / "run.jsonl", run=run)
    with pytest.raises(GpupruneError, match="its environment lacks device_name"):
        read([path])


def test_a_training_is_told_from_a_bench(tmp_path):
    path = write_training(tmp_path / "accuracy.jsonl", trained())
    found = read([path])
    assert found.benches == ()
    assert found.trainings[0].outcomes == tuple(trained())


@pytest.mark.parametrize("changes", [{"accuracy": "1"}, {"accuracy": 2}, {"group": "8"}])
def test_a_value_that_no_training_holds_is_refused(tmp_path, changes):
    outcomes = [replace(trained()[1], **changes)]
    path = write_training(tmp_path / "accuracy.jsonl", outcomes)
    with pytest.raises(GpupruneError, match="result 1 has a value of another kind"):
        read([path])


def test_a_prediction_has_both_definitions(tmp_path):
    path = write_profile(tmp_path / "efficiency.jsonl", predicted_row())
    layer = {"weights": None, "rows": 64, "cols": 100, "batch": 10, "dtype": "float32"}
    way = {"orientation": "row", "score": "rms", "seed": 0, "device": None, "path": path}
    common = {**layer, **way, "product": "predicted, row_major", "rate": 0.8, "group": 1}
    assert read([path]).efficiencies == (
        Efficiency(**common, definition="ncu", percent=60.0),
        Efficiency(**common, definition="nvprof", percent=70.0),
    )


def kernel_row(percent, sectors, **changes):
    row = predicted_row(predicted=False, gld_efficiency_pct=percent, contender="csr")
    row |= {"tool": "ncu", "gld_definition": "ncu", "kernel": "k", "device": None, "launch": 0}
    row |= {"invocations": None, "gld_min_pct": None, "gld_max_pct": None}
    row |= {"gst_efficiency_pct": None}
    return row | {"metrics": {"l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": sectors}} | changes


def test_the_kernels_of_a_product_count_by_their_sectors(tmp_path):
    path = write_profile(tmp_path / "live.jsonl", kernel_row(50.0, 300.0), kernel_row(90.0, 100.0))
    (found,) = read([path]).efficiencies
    assert (found.product, found.definition, found.percent) == ("csr", "ncu", 60.0)


def test_a_product_of_which_a_kernel_has_no_value_has_none(tmp_path):
    unknown = kernel_row(None, 300.0, gld_definition=None)
    rows = [kernel_row(50.0, 300.0), unknown, kernel_row(90.0, 100.0, group=8)]
    (found,) = read([write_profile(tmp_path / "live.jsonl", *rows)]).efficiencies
    assert (found.group, found.percent) == (8, 90.0)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (predicted_row(rate=2), "holds no load efficiencies of products: rate is 2"),
        (predicted_row(group=0), "holds no load efficiencies of products: group is 0"),
        (predicted_row(rows="many"), "holds no load efficiencies of products: rows is 'many'"),
        (
            predicted_row(nvprof_style_pct=float("nan")),
            "holds no load efficiencies of products: a load efficiency is nan",
        ),
        (
            predicted_row(nvprof_style_pct=None),
            "holds no load efficiencies of products: a load efficiency is None",
        ),
        (
            predicted_row(nvprof_style_pct=1e308),
            "holds no load efficiencies of products: a load efficiency is 1e+308",
        ),
        (
            predicted_row(gld_efficiency_pct=1e7),
            ", line 1: gld_efficiency_pct is 10000000.0, and no load efficiency",
        ),
        (
            predicted_row(gld_efficiency_pct="60"),
            ", line 1: gld_efficiency_pct is '60', and no load efficiency",
        ),
        (
            kernel_row(50.0, 300.0, metrics=[3]),
            "holds no load efficiencies of products: metrics is [3]",
        ),
        (
            kernel_row(50.0, 300.0, contender=3),
            "holds no load efficiencies of products: contender is 3",
        ),
        (
            {"gld_efficiency_pct": 50.0, "rate": 0.8},
            "holds no load efficiencies of products: a line has no gld_definition",
        ),
        (
            kernel_row(50.0, 300.0, rate=None),
            "holds no load efficiency of a known rate and group size",
        ),
    ],
)
def test_what_is_no_efficiency_of_a_case_is_refused(tmp_path, row, told):
    path = write_profile(tmp_path / "efficiency.jsonl", row)
    with pytest.raises(GpupruneError) as refused:
        read([path])
    assert str(refused.value) == f"{path}{told if told.startswith(',') else f' {told}'}"


def test_a_damaged_line_of_load_efficiencies_is_named(tmp_path):
    path = write_profile(tmp_path / "efficiency.jsonl", predicted_row())
    whole = path.read_text()
    for line, told in (
        ("no", "is no JSON: 'no'"),
        ("[1]", "has no gld_efficiency_pct: '[1]'"),
        ('{"rate": 0.9}', "has no gld_efficiency_pct: '{\"rate\": 0.9}'"),
    ):
        path.write_text(whole + line + "\n")
        with pytest.raises(GpupruneError) as refused:
            read([path])
        assert str(refused.value) == f"{path}, line 2 {told}"
        assert refused.value.hint == "give what `gpuprune profile --format json` prints"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"rate": 0.9}, []),
        ({"dtype": "float64"}, ["float32", "float64"]),
        ({"orientation": "column"}, ["row groups", "column groups"]),
        ({"score": "mean"}, ["scored by rms", "scored by mean"]),
        ({"seed": 5}, ["seed 0", "seed 5"]),
    ],
)
def test_efficiencies_are_named_by_what_of_their_setting_they_do_not_share(
    tmp_path, changes, told
):
    path = write_profile(tmp_path / "a.jsonl", predicted_row(), predicted_row(**changes))
    names = dict.fromkeys(name_layers(read([path]).efficiencies))
    assert list(names) == ([("64x100x10", one) for one in told] or [("64x100x10",)])


def test_tensors_of_one_name_are_told_apart_by_batch_and_file(tmp_path):
    labels = [("v.npz::w", 10), ("v.npz::w", 5), ("old/w.npz::w", 10), ("u.npy", 10)]
    rows = [predicted_row(weights=weights, batch=batch) for weights, batch in labels]
    found = read([write_profile(tmp_path / "a.jsonl", *rows)]).efficiencies
    assert list(dict.fromkeys(name_layers(found))) == [
        ("w", "v.npz", "batch 10"),
        ("w", "v.npz", "batch 5"),
        ("w", "w.npz", "batch 10"),
        ("u.npy", "batch 10"),
    ]


def test_measurements_on_several_gpus_are_told_apart(tmp_path):
    rows = [kernel_row(50.0, 300.0, device=f"GPU {name}") for name in "AB"]
    found = read([write_profile(tmp_path / "live.jsonl", *rows)]).efficiencies
    assert name_layers(found) == [("64x100x10", "GPU A"), ("64x100x10", "GPU B")]


def test_figures_of_one_product_in_two_files_are_told_apart_by_their_files(tmp_path):
    low, high = predicted_row(), predicted_row(rate=0.9)
    paths = [tmp_path / f"{name}.jsonl" for name in ("both", "low", "high")]
    for path, rows in zip(paths, ([low, high], [low], [high]), strict=True):
        write_profile(path, *rows)
    shape = "64x100x10"
    assert {*name_layers(read(paths[1:]).efficiencies)} == {(shape,)}
    assert list(dict.fromkeys(name_layers(read(paths[:2]).efficiencies))) == [
        (shape, "both.jsonl"),
        (shape, "low.jsonl"),
    ]


def test_two_figures_of_one_product_in_one_file_are_refused_unless_they_agree(tmp_path):
    path = write_profile(tmp_path / "a.jsonl", predicted_row(), predicted_row())
    assert len(read([path]).efficiencies) == 2
    write_profile(path, predicted_row(), predicted_row(nvprof_style_pct=71.0))
    with pytest.raises(GpupruneError) as refused:
        read([path])
    assert str(refused.value) == (
        f"{path} has two load efficiencies of predicted, row_major at rate 0.8 and group 1, and "
        "does not tell them apart: 70 % and 71 %"
    )
    assert refused.value.hint == "print what was asked for in different ways into a file each"


def test_layers_are_chosen_by_name_or_shape(tmp_path):
    results = made_results(weights="m.npz::a.mlp") + made_results(weights="m.npz::b", batch=7)
    found = read([write_run(tmp_path / "run.jsonl", results)])
    for pattern in ("*mlp", "64x100x10"):
        (bench,) = only_layers(found, pattern).benches
        assert bench.results == tuple(results[:8])
    with pytest.raises(GpupruneError) as refused:
        only_layers(found, "<script>")
    assert str(refused.value) == "no layer matches '<script>'"
    assert refused.value.hint == "there are 'a.mlp', 'b'"


def test_a_run_that_loses_all_its_layers_is_left_out(tmp_path):
    found = read(
        [
            write_run(tmp_path / "a.jsonl", made_results(weights="m.npz::a")),
            write_run(tmp_path / "b.jsonl", run=replace(made_run(), started="later")),
        ]
    )
    assert [bench.path.name for bench in only_layers(found, "a").benches] == ["a.jsonl"]
