"""Measuring jobs as a runner gives them: drift, spikes, noise that neighbouring cells share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gpuprune.records import Case
from gpuprune.regression.arm import Arm, Cell

RATES = tuple(round(0.8 + 0.02 * i, 2) for i in range(10))
GROUPS = (1, 2, 4, 8, 16, 32, 64)
CONTENDERS = ("dense", "csr", "row_group")
CELLS: list[Cell] = [
    (Case(rows=4096, cols=4096, batch=50, rate=rate, group=group), name)
    for name in CONTENDERS
    for group in GROUPS
    for rate in RATES
]
SHAPE = (len(CONTENDERS), len(GROUPS) * len(RATES))


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Standard deviations, as shares of a time, of a GPU runner that is shared with others."""

    session: float = 0.03  # from day to day, of everything alike
    contender_session: float = 0.005  # from day to day, of a contender
    run: float = 0.01  # from process to process, of everything alike
    contender_run: float = 0.004
    cell: float = 0.006  # from process to process, of a typical cell
    unlike: float = 0.4  # spread of the logarithm of the cells' own noise
    shared: float = 0.7  # correlation of a cell's noise with its neighbour's
    spikes: float = 0.005  # share of the times that are too long, by 5 to 50 %
    slow_stretch: float = 0.1  # share of the runs in which ten cases in a row are 3 % slower


class Simulation:
    """A sweep on a runner, session after session."""

    def __init__(self, runner: Runner, seed: int) -> None:
        self._runner = runner
        self._random = np.random.default_rng(seed)
        self._log_times = np.log(self._random.uniform(1e-4, 2e-3, SHAPE))
        self._noise = runner.cell * np.exp(self._random.normal(0, runner.unlike, SHAPE))

    def session(self, *runs: int, slower: Callable[[Cell], float] = lambda cell: 0.0) -> list[Arm]:
        """Measure several arms on one day; `slower` gives the share that a cell was slowed by."""
        runner, random = self._runner, self._random
        injected = np.log1p([slower(cell) for cell in CELLS]).reshape(SHAPE)
        day = random.normal(0, runner.session) + random.normal(
            0, runner.contender_session, (SHAPE[0], 1)
        )
        return [self._arm(self._log_times + injected + day, count) for count in runs]

    def _arm(self, log_times, runs):
        times = np.stack([np.exp(log_times + self._one_run()) for _ in range(runs)])
        return Arm(
            runs=runs,
            times=dict(zip(CELLS, map(tuple, times.reshape(runs, -1).T.tolist()), strict=True)),
            faults={},
            wrong=frozenset(),
            patterns={},
        )

    def _one_run(self):
        runner, random = self._runner, self._random
        noise = random.normal(0, 1, SHAPE)
        for i in range(1, SHAPE[1]):
            noise[:, i] *= np.sqrt(1 - runner.shared**2)
            noise[:, i] += runner.shared * noise[:, i - 1]
        found = noise * self._noise
        found += random.normal(0, runner.run) + random.normal(
            0, runner.contender_run, (SHAPE[0], 1)
        )
        spikes = random.random(SHAPE) < runner.spikes
        found[spikes] += np.log1p(random.uniform(0.05, 0.5, spikes.sum()))
        if random.random() < runner.slow_stretch:
            first = random.integers(SHAPE[1] - 10)
            found[:, first : first + 10] += 0.03
        return found
