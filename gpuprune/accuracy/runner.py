"""The networks of an accuracy run, trained, pruned and retrained, in an order that can stop.

On a processor the networks take turns, on a GPU all of a stage train side by side. Everything
random is drawn anew from the seed, the stage and the epoch, so that parameters and a step number
are all that has to be kept of a training under way.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gpuprune.accuracy.checkpoint import Checkpoint
from gpuprune.accuracy.data import Dataset
from gpuprune.accuracy.model import WIDTHS, Parameters, initialise
from gpuprune.accuracy.prune import Pruned, leave, prune_network
from gpuprune.accuracy.records import Outcome
from gpuprune.accuracy.settings import Settings
from gpuprune.accuracy.train import Examples, Schedule, State, count_right, train
from gpuprune.backends import Backend

Item = TypeVar("Item")
Variant = tuple[int, int | None]  # seed and group; no group is the unpruned network
Outcomes = tuple[Outcome, ...]

# What everything random is drawn for, beside the seed; 0 splits the data.
_INITIALISE, _TRAIN, _RETRAIN = 1, 2, 3

_KEEP_EVERY_S = 30.0  # what a crash may cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One more epoch of the networks that now train."""

    doing: str  # such as "seed 0, group 8"
    epoch: int
    epochs: int
    loss: float  # mean over these networks
    accuracy: float
    epochs_left: int  # of the whole run; networks that train together count once


class Runner:
    """Trains what is not done yet; yields each epoch, and the outcomes of each stage.

    `keep` puts a checkpoint on disk, and is called about twice a minute.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: Dataset,
        backend: Backend,
        *,
        done: Sequence[Outcome] = (),
        kept: Checkpoint | None = None,
        keep: Callable[[Checkpoint], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to go on after `done` and from `kept`, where there are such."""
        self._settings = settings
        self._backend = backend
        self._xp = backend.xp
        self._done = {(one.seed, one.group) for one in done}
        self._kept = kept
        self._keep = keep
        self._clock = clock
        self._kept_at = clock()
        self._splits = {seed: dataset.split(seed) for seed in range(settings.seeds)}
        self._batch = min(settings.batch, len(self._splits[0][0]))
        self._epochs_left = self._count_epochs()
        self._examples = Examples.on_device(dataset.images, dataset.labels, self._xp)
        self._tests = None
        if dataset.test_images is not None and dataset.test_labels is not None:
            self._tests = Examples.on_device(dataset.test_images, dataset.test_labels, self._xp)

    def __iter__(self) -> Iterator[Progress | Outcomes]:
        for seeds in self._side_by_side(range(self._settings.seeds)):
            yield from self._run(seeds)

    def _side_by_side(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """Cut what is to be trained into stages: on a GPU one, on a processor one for each."""
        return [items] if self._backend.name == "cuda" else [[item] for item in items]

    def _run(self, seeds: Sequence[int]) -> Iterator[Progress | Outcomes]:
        """Do all that is pending of some seeds."""
        plain: list[Variant] = [(seed, None) for seed in seeds]
        stages = [stage for stage in self._stages(seeds) if self._pending(stage)]
        if not stages and not self._pending(plain):
            return
        trained = yield from self._train(seeds)
        if self._pending(plain):
            whole = [leave(self._host_weights(trained, lane)) for lane in range(len(seeds))]
            yield self._judge(plain, whole, trained, [None for _ in seeds])
        if self._kept_trained(seeds) is None:
            self._save(Checkpoint("trained", None, self._to_host(trained), tuple(seeds)))
        for stage in stages:
            yield from self._retrain(trained, seeds, stage)

    def _stages(self, seeds: Sequence[int]) -> list[Sequence[Variant]]:
        return self._side_by_side(
            [(seed, group) for group in self._settings.groups for seed in seeds]
        )

    def _pending(self, variants: Sequence[Variant]) -> bool:
        return not self._done.issuperset(variants)

    def _count_epochs(self) -> int:
        settings, total = self._settings, 0
        for seeds in self._side_by_side(range(settings.seeds)):
            stages = sum(self._pending(stage) for stage in self._stages(seeds))
            if stages or self._pending([(seed, None) for seed in seeds]):
                total += settings.epochs * (self._kept_trained(seeds) is None)
            total += settings.retrain_epochs * stages
        return total

    def _kept_trained(self, seeds: Sequence[int]) -> Parameters | None:
        kept = self._kept
        return kept.trained if kept and kept.seeds == tuple(seeds) else None

    def _train(self, seeds: Sequence[int]) -> Generator[Progress, None, Parameters]:
        if kept := self._kept_trained(seeds):
            return self._on_device(kept)
        settings = self._settings
        widths = WIDTHS[settings.layers]
        fresh = initialise(
            widths, [np.random.default_rng((seed, _INITIALISE)) for seed in seeds], self._xp
        )
        stage = f"train {list(seeds)}"
        state = self._state(stage, fresh)
        yield from self._descend(
            state,
            [None] * settings.layers,
            [(seed, None) for seed in seeds],
            lambda: Checkpoint(stage, self._state_to_host(state), None, tuple(seeds)),
        )
        return state.parameters

    def _retrain(
        self, trained: Parameters, seeds: Sequence[int], variants: Sequence[Variant]
    ) -> Iterator[Progress | Outcomes]:
        """Prune, hold the masks, and train on; then record."""
        lanes = [seeds.index(seed) for seed, _ in variants]
        pruned = [
            prune_network(self._host_weights(trained, lane), group or 1, self._settings, seed)
            for lane, (seed, group) in zip(lanes, variants, strict=True)
        ]
        masks = [
            self._xp.asarray(np.stack(of_layer))
            for of_layer in zip(*(one.masks for one in pruned), strict=True)
        ]
        start = trained.pick(lanes)
        for weights, mask in zip(start.weights, masks, strict=True):
            weights *= mask
        one_shot = self._held_out_accuracy(start, variants)
        stage = f"retrain {list(variants)}"
        state = self._state(stage, start)
        yield from self._descend(
            state,
            masks,
            variants,
            lambda: Checkpoint(
                stage, self._state_to_host(state), self._to_host(trained), tuple(seeds)
            ),
        )
        yield self._judge(variants, pruned, state.parameters, one_shot)

    def _descend(
        self,
        state: State,
        masks: Sequence[Any],
        variants: Sequence[Variant],
        snapshot: Callable[[], Checkpoint],
    ) -> Iterator[Progress]:
        """Train a state to its end, keep a checkpoint now and then, and tell each epoch."""
        settings = self._settings
        retrains = variants[0][1] is not None
        schedule = Schedule(
            epochs=settings.retrain_epochs if retrains else settings.epochs,
            batch=self._batch,
            learning_rate=settings.learning_rate,
        )
        stream = _RETRAIN if retrains else _TRAIN

        def order(epoch: int) -> NDArray[np.int64]:
            drawn = {
                seed: np.random.default_rng((seed, stream, epoch)).permutation(
                    self._splits[seed][0]
                )
                for seed, _ in variants
            }
            return np.stack([drawn[seed] for seed, _ in variants])

        def keep_now_and_then(_: State) -> None:
            if self._clock() - self._kept_at >= _KEEP_EVERY_S:
                self._save(snapshot())

        self._epochs_left -= state.step // (len(self._splits[0][0]) // self._batch)
        for epoch in train(
            state, masks, self._examples, order, schedule, self._xp, keep_now_and_then
        ):
            self._epochs_left -= 1
            yield Progress(
                doing=_describe(variants),
                epoch=epoch.number,
                epochs=schedule.epochs,
                loss=float(np.mean(epoch.losses)),
                accuracy=float(np.mean(self._held_out_accuracy(state.parameters, variants))),
                epochs_left=self._epochs_left,
            )

    def _judge(
        self,
        variants: Sequence[Variant],
        pruned: Sequence[Pruned],
        parameters: Parameters,
        one_shot: Sequence[float | None],
    ) -> Outcomes:
        """Count what is right; only what is not done yet is told."""
        settings = self._settings
        accuracies = self._held_out_accuracy(parameters, variants)
        tests = self._test_accuracy(parameters)
        return tuple(
            Outcome(
                seed=seed,
                layers=settings.layers,
                rate=settings.rate if group else 0.0,
                group=group,
                score=settings.score,
                orientation=settings.orientation,
                min_groups_per_row=settings.min_groups_per_row,
                skip_last=settings.skip_last,
                epochs=settings.epochs,
                retrain_epochs=settings.retrain_epochs if group else 0,
                accuracy=accuracies[lane],
                test_accuracy=tests[lane],
                one_shot_accuracy=one_shot[lane],
                achieved_rate=pruned[lane].achieved_rate,
                empty_rows=pruned[lane].empty_rows,
                dead_classes=pruned[lane].dead_classes,
                matrices=pruned[lane].facts,
            )
            for lane, (seed, group) in enumerate(variants)
            if (seed, group) not in self._done
        )

    def _held_out_accuracy(
        self, parameters: Parameters, variants: Sequence[Variant]
    ) -> list[float]:
        picks = np.stack([self._splits[seed][1] for seed, _ in variants])
        return self._accuracy(parameters, self._examples, picks)

    def _test_accuracy(self, parameters: Parameters) -> list[float] | list[None]:
        if self._tests is None:
            return [None] * parameters.lanes
        every = np.arange(len(self._tests.images))
        return self._accuracy(parameters, self._tests, np.stack([every] * parameters.lanes))

    def _accuracy(
        self, parameters: Parameters, examples: Examples, picks: NDArray[np.int64]
    ) -> list[float]:
        right = count_right(parameters, examples, picks, self._batch, self._xp)
        return [count / picks.shape[1] for count in right]

    def _state(self, stage: str, fresh: Parameters) -> State:
        """Return what was kept of a stage, or its beginning."""
        kept = self._kept
        if kept and kept.stage == stage and kept.state:
            return State(
                self._on_device(kept.state.parameters), kept.state.step, kept.state.loss_sum
            )
        return State(fresh, 0, np.zeros(fresh.lanes))

    def _save(self, snapshot: Checkpoint) -> None:
        if self._keep:
            self._keep(snapshot)
        self._kept_at = self._clock()

    def _host_weights(self, parameters: Parameters, lane: int) -> list[NDArray[np.float32]]:
        return [self._backend.numpy(weights[lane]) for weights in parameters.weights]

    def _state_to_host(self, state: State) -> State:
        losses = self._backend.numpy(state.loss_sum)
        return State(self._to_host(state.parameters), state.step, losses)

    def _to_host(self, parameters: Parameters) -> Parameters:
        copy = self._backend.numpy
        return Parameters(
            tuple(copy(values) for values in parameters.weights),
            tuple(copy(values) for values in parameters.biases),
        )

    def _on_device(self, parameters: Parameters) -> Parameters:
        return Parameters(
            tuple(self._xp.array(values) for values in parameters.weights),
            tuple(self._xp.array(values) for values in parameters.biases),
        )


def _describe(variants: Sequence[Variant]) -> str:
    """Name the networks that train together."""
    seeds = list(dict.fromkeys(seed for seed, _ in variants))
    groups = list(dict.fromkeys(group for _, group in variants))
    who = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    if groups == [None]:
        return f"{who}, unpruned"
    return f"{who}, group{'s' if len(groups) > 1 else ''} {', '.join(map(str, groups))}"
