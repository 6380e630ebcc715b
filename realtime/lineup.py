"""Lineup: the bundles that run together, and the parts that they make of one configuration.

The offline loop and the live session build their buffers, predictor and deciders here, so that both
are made of the same parts.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engines.bundle import Bundle, load_bundle
from engines.engine import Engine, open_engine
from engines.errors import BundleError
from engines.manifest import Manifest, OutputSpec, PerceptionSpec
from realtime.buffer import ObservationBuffer
from realtime.config import Config
from realtime.decide import Decider, TaskSpec
from realtime.predictor import Predictor

EMOTION = "emotion"
"""The task that `Config.emotion` switches."""


@dataclass(frozen=True)
class Lineup:
    """Bundles with one way of perceiving and different tasks."""

    bundles: tuple[Bundle, ...]
    tasks: tuple[TaskSpec, ...]
    config: Config

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Those of the bundles, in their order."""
        return tuple(bundle.manifest for bundle in self.bundles)

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Those of all bundles, also of a task that is switched off."""
        return tuple(output for m in self.manifests for output in m.outputs)

    @property
    def perception(self) -> PerceptionSpec:
        """The way of perceiving that all bundles share."""
        return self.manifests[0].perception

    @property
    def is_untrained(self) -> bool:
        """True where the weights of any bundle are random."""
        return any(m.source.is_untrained for m in self.manifests)

    @property
    def names(self) -> str:
        """Names and versions of the bundles, for people."""
        return " + ".join(m.id for m in self.manifests)

    def open_engines(self, stack: ExitStack, device: str) -> tuple[Engine, ...]:
        """Open all bundles on the calling thread, to be closed by `stack`."""
        tasks = [spec.output.task for spec in self.tasks]
        return tuple(
            stack.enter_context(open_engine(b.folder, device, tasks=tasks)) for b in self.bundles
        )

    def buffer(self) -> ObservationBuffer:
        """A camera's buffer, long enough for every bundle's window."""
        windows = [m.window for m in self.manifests]
        return ObservationBuffer(
            self.perception,
            span_s=max(w.span_s for w in windows),
            max_gap_s=min(w.max_gap_s for w in windows),
        )

    def predictor(self, engines: Sequence[Engine]) -> Predictor:
        """The one predictor of a run."""
        return Predictor(engines, hop_s=self.config.hop_s)

    def decider(self) -> Decider:
        """A camera's decision layer."""
        return Decider(self.tasks, self.config)


def load_lineup(folders: Sequence[Path], config: Config) -> Lineup:
    """Load bundles that are to run together.

    Raises:
        BundleError: a bundle that cannot be used; two that serve one task or perceive differently;
            or none that has anything to do under this configuration.
    """
    bundles, tasks = [], []
    for folder in folders:
        bundle = load_bundle(folder)
        wanted = [
            TaskSpec(output, m.window.min_coverage, m.source.is_untrained)
            for m in (bundle.manifest,)
            for output in m.outputs
            if config.emotion or output.task != EMOTION
        ]
        if wanted:
            bundles.append(bundle)
            tasks += wanted
    if not bundles:
        raise BundleError("Emotion is switched off and no bundle serves another task: add one")
    _check_alike([b.manifest for b in bundles])
    names = [spec.output.task for spec in tasks]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BundleError(f"Two bundles serve the task {twice[0]}: name one bundle for each task")
    return Lineup(tuple(bundles), tuple(tasks), config)


def describe_runtimes(engines: Sequence[Engine]) -> str:
    """Runtime, device and precision of opened engines, for people."""
    return " + ".join(dict.fromkeys(engine.runtime.description for engine in engines))


def _check_alike(manifests: Sequence[Manifest]) -> None:
    first = manifests[0]
    for other in manifests[1:]:
        if other.perception != first.perception:
            raise BundleError(
                f"Bundles {first.id} and {other.id} were trained with different perception "
                "(models, crop or sizes) and cannot share a camera: run them one by one"
            )
