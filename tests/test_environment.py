"""What is known of the machine, where a made folder can say it."""

import pytest

from gpuprune import environment
from gpuprune.environment import load_note


def control_group(folder, **files):
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


def test_files_that_a_container_has_read_take_no_memory_from_it(tmp_path):
    stat = "anon 100\nfile 800\nactive_file 300\ninactive_file 500\n"
    folder = control_group(tmp_path, memory_max="1000\n", memory_current="900\n", memory_stat=stat)
    assert environment.free_memory_bytes(folder) == 1000 - 900 + 500


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory_max": "1000\n", "memory_current": "900\n"}, 100),
        ({"memory_max": "1000\n", "memory_current": "900\n", "memory_stat": "anon 9\n"}, 100),
        ({"memory_max": "1000\n", "memory_current": "1100\n"}, 0),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path, files, free):
    assert environment.free_memory_bytes(control_group(tmp_path, **files)) == free


@pytest.mark.parametrize("files", [{}, {"memory_max": "max\n", "memory_current": "900\n"}])
def test_without_a_limit_the_machine_has_what_it_has(tmp_path, files):
    free = environment.free_memory_bytes(control_group(tmp_path, **files))
    assert 1 << 20 < free <= environment.memory_bytes()


@pytest.mark.parametrize("busy_cores", [None, 0.0, 0.49])
def test_a_machine_that_is_quiet_or_does_not_tell_is_not_warned_of(busy_cores):
    assert load_note(busy_cores) is None


def test_half_a_core_that_others_keep_busy_makes_times_doubtful():
    told = "Others kept 0.5 cores busy when this run began: its times are too long."
    assert load_note(0.5) == told
