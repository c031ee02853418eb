"""`gpuprune baseline`: record, show and update."""

import json

from tests.conftest import json_rows
from tests.gate.runs import refused, runs_of, slowed


def test_show_gives_programs_what_the_file_says_of_itself_and_then_its_cells(run, recorded):
    header, *rows = json_rows(run("baseline", "show", recorded, "--format", "json"))
    kept = json.loads(recorded.read_text())
    assert header == {name: kept[name] for name in kept.keys() - {"cells", "profile"}}
    assert list(header) == ["record", "schema", "recorded", "runs", "conditions", "accepted"]
    assert [row["record"] for row in rows] == ["cell"] * 16
    assert (rows[0]["contender"], rows[0]["rate"], rows[0]["runs"]) == ("dense", 0.5, 5)
    table = run("baseline", "show", recorded, "--format", "csv").stdout.splitlines()
    assert len(table) == 17
    assert table[0].startswith("weights,rows,cols,batch,rate,group,contender,")
    text = run("baseline", "show", recorded).stdout
    assert "on a fake device: 5 runs, 16 cells, 0 load efficiencies." in text


def test_show_names_layers_and_obeys_nothing_that_a_file_says(run, recorded):
    table = json.loads(recorded.read_text())
    table |= {"recorded": "x\n::error::y", "accepted": [{"on": "now", "reason": "a\n::error::b"}]}
    table["conditions"]["version"] = "1\x1b[31m"
    for row in table["cells"]:
        row["case"]["weights"] = "model.npz::first\n::error::c"
    recorded.write_text(json.dumps(table))
    for output_format in ("table", "markdown"):
        text = run("baseline", "show", recorded, "--format", output_format).stdout
        assert "\n::error" not in text
        assert "\x1b" not in text
        assert "first" in text
        assert "model.npz" not in text


def test_fewer_than_five_runs_are_recorded_with_a_warning(run, measured, tmp_path):
    path = tmp_path / "one.json"
    result = run("baseline", "record", "-o", path, "--run", measured)
    assert result.exit_code == 0
    assert "fewer than five runs" in result.stderr


def test_a_baseline_is_never_written_over_and_left_whole_or_not_at_all(
    run, recorded, measured, tmp_path
):
    before = recorded.read_text()
    refused(run("baseline", "record", "-o", recorded, *runs_of(measured, 5)), 2, "exists")
    assert recorded.read_text() == before
    nowhere = tmp_path / "no" / "baseline.json"
    refused(run("baseline", "record", "-o", nowhere, *runs_of(measured, 5)), 2, "no directory")
    assert [path.name for path in tmp_path.iterdir()] == ["baseline.json"]


def test_sweep_options_beside_runs_are_refused_in_record(run, measured, tmp_path):
    command = ["baseline", "record", "-o", tmp_path / "b.json", "--run", measured]
    refused(run(*command, "--rates", "0.9"), 2, "--rates makes no sense with --run")
    refused(run("calibrate", "--runs", "1"), 2, "--runs")


def test_update_takes_slower_times_over_only_with_a_reason(run, recorded, rewritten):
    before, slow = recorded.read_text(), runs_of(rewritten(slowed(0.25)), 5)
    result = run("baseline", "update", recorded, *slow)
    assert result.exit_code == 1
    assert "--accept-slower" in result.stderr
    assert recorded.read_text() == before
    accept = ["--accept-slower", "exact rounding"]
    assert run("baseline", "update", recorded, *slow, *accept).exit_code == 0
    assert run("check", "--baseline", recorded, *slow).exit_code == 0
    assert "exact rounding" in run("baseline", "show", recorded).stdout
    assert run("baseline", "update", recorded, *slow).exit_code == 0
    assert "exact rounding" in run("baseline", "show", recorded).stdout


def test_update_takes_nothing_over_that_might_be_slower(run, recorded, rewritten):
    before = recorded.read_text()

    def noisy(path):
        """Runs that differ by half, so that nothing can be told."""
        options = runs_of(path, 5)
        for number, other in enumerate(options[1::2]):
            lines = [json.loads(line) for line in other.read_text().splitlines()]
            lines = [slowed(0.1 * number)(line) for line in lines]
            other.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return options

    result = run("baseline", "update", recorded, *noisy(rewritten(lambda line: line)))
    assert result.exit_code == 1
    assert "UNSURE" in result.stdout
    assert "may be slower" in result.stderr
    assert recorded.read_text() == before


def test_update_asks_for_as_many_runs_as_there_were(run, recorded, measured):
    before = recorded.read_text()
    refused(run("baseline", "update", recorded, "--run", measured), 2, "1 run", "5 are needed")
    refused(run("baseline", "update", recorded, "--runs", "4"), 2, "4 runs", "5 are needed")
    refused(run("baseline", "update", recorded, "--accept-slower", " "), 2, "--accept-slower")
    assert recorded.read_text() == before


def test_update_refuses_a_cell_that_lacks_a_time_in_some_runs(run, recorded, measured):
    options = runs_of(measured, 5)
    lines = options[1].read_text().splitlines(keepends=True)
    options[1].write_text("".join(lines[:-2]))
    refused(run("baseline", "update", recorded, *options), 2, "4 times of csr at rate")
