"""Files of gpuprune that are given to `profile --from` for captures."""

import pytest

from tests.conftest import assert_refused
from tests.made_runs import write_run

SMALL = ("--shape", "32x32x4", "--rates", "0.9", "--groups", "8", "--device", "fake")


def test_a_run_is_named_and_shown_elsewhere(run, tmp_path):
    path = write_run(tmp_path / "run.jsonl")
    named = f"{path} is a run of gpuprune, and nothing that ncu or nvprof wrote"
    assert_refused(run("profile", "--from", path), named, "gpuprune report FILE")


@pytest.mark.parametrize(
    ("command", "output_format", "name", "instead"),
    [
        (("bench", *SMALL), "json", "what gpuprune bench printed", "--output RUN.jsonl"),
        (("profile", "--predict", *SMALL), "json", "what gpuprune profile printed", "plot FILE"),
        (("profile", "--predict", *SMALL), "csv", "CSV of gpuprune profile", "ncu or nvprof"),
    ],
)
def test_what_gpuprune_printed_is_named(run, tmp_path, command, output_format, name, instead):
    path = tmp_path / "printed"
    path.write_text(run(*command, "--format", output_format).stdout)
    assert_refused(run("profile", "--from", path), f"{path} is {name}", instead)


def test_json_of_others_is_only_called_nothing_that_a_profiler_wrote(run, tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"answer": 42}\n')
    assert_refused(run("profile", "--from", path), f"{path} is nothing that ncu or nvprof wrote")
