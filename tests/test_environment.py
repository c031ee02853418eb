"""What is said of the machine."""

import pytest

from gpuprune.environment import load_note


@pytest.mark.parametrize("busy_cores", [None, 0.0, 0.49])
def test_a_machine_that_is_quiet_or_does_not_tell_is_not_warned_of(busy_cores):
    assert load_note(busy_cores) is None


def test_half_a_core_that_others_keep_busy_makes_times_doubtful():
    told = "Others kept 0.5 cores busy when this run began: its times are too long."
    assert load_note(0.5) == told
