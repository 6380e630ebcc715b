"""Scores of all windows of a store's videos, by a bundle or by a checkpoint."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from engines.bundle import MANIFEST_NAME, sha256_of
from engines.engine import open_engine
from engines.errors import WindowError
from engines.manifest import Manifest, OutputSpec
from engines.postprocess import Scores, postprocess
from engines.preprocess import preprocess
from engines.window import Window
from realtime.config import Config
from realtime.decide import Decider, TaskSpec
from realtime.records import Event, Prediction
from train.annotations import DataError
from train.checkpoint import load_checkpoint, load_weights
from train.dataset import manifest_of
from train.export import run_torch
from train.metrics import Probs
from train.models.heads import build_net
from train.recipes import Recipe
from train.store import Store
from train.store_files import Span, StoredVideo
from train.taken_away import modalities_gone, without

Score = Callable[[Sequence[Window]], list[dict[str, Scores]]]
_BATCH = 8


@dataclass(frozen=True, eq=False)
class Scorer:
    """Something that scores windows, and the manifest that it goes by."""

    score: Score
    manifest: Manifest
    about: Mapping[str, object] = field(default_factory=dict)
    """For reports: its files with their sha256, and what runs it."""
    without: tuple[str, ...] = ()
    """Modalities that it does without."""


@dataclass(frozen=True, eq=False)
class ScoredVideo:
    """N windows of one video."""

    video: StoredVideo
    ends: np.ndarray
    """float64 [N] stream seconds."""
    at: np.ndarray
    """float64 [N] stream seconds that the scores are about."""
    probs: dict[str, Probs]
    """Task -> float32 [N, K]."""
    coverage: dict[str, np.ndarray]
    """Task -> float64 [N] 0..1, of what the task looks at; 0 where the live buffer would give no
    window."""
    is_between: bool = False
    """Known to show no emotion more than another."""
    is_trimmed: bool = False
    """Nothing of it is background: what is not annotated is unknown, as in training."""


def windows_between(scored: Sequence[ScoredVideo], task: str) -> Probs:
    """Scores [N, K] of a task in windows of faces that are known to show no emotion.

    Without those that the live loop would not have. There must be a video.
    """
    rows = [v.probs[task][v.coverage[task] > 0] for v in scored if v.is_between]
    return np.concatenate([scored[0].probs[task][:0], *rows])


@contextmanager
def bundle_scorer(
    folder: Path, device: str, *, asked_away: Collection[str] = ()
) -> Iterator[Scorer]:
    """A bundle through any runtime; `asked_away` names modalities that it has to do without.

    Raises:
        BundleError, RuntimeUnavailable: it cannot be opened.
        DataError: it cannot do without one of these.
    """
    with open_engine(folder, device) as engine:
        manifest = engine.manifest
        digests = {graph.file: graph.sha256 for graph in manifest.graphs}
        digests |= {MANIFEST_NAME: sha256_of(folder / MANIFEST_NAME)}
        about = {"bundle": str(folder), "sha256": digests, "on": engine.runtime.description}
        gone = modalities_gone(asked_away, manifest)

        def score(windows: Sequence[Window]) -> list[dict[str, Scores]]:
            feeds = without(preprocess(windows, manifest), manifest, gone)
            return postprocess(engine.runtime.run(feeds), manifest, windows)

        yield Scorer(score if gone else engine, manifest, about, gone)


@contextmanager
def checkpoint_scorer(
    path: Path, recipe: Recipe, *, asked_away: Collection[str] = ()
) -> Iterator[Scorer]:
    """A checkpoint through torch, on the processor; `asked_away` as of a bundle.

    Raises:
        CheckpointError: it is another recipe's, or none.
        DataError: it cannot do without one of these.
    """
    net = build_net(recipe.net).eval()
    load_weights(net, load_checkpoint(path, recipe), str(path))
    manifest = manifest_of(recipe)
    gone = modalities_gone(asked_away, manifest)

    def score(windows: Sequence[Window]) -> list[dict[str, Scores]]:
        feeds = without(preprocess(windows, manifest), manifest, gone)
        with torch.inference_mode():
            logits = run_torch(net, manifest, feeds)
        return postprocess(logits, manifest, windows)

    digests = {path.name: sha256_of(path)}
    about = {"checkpoint": str(path), "sha256": digests, "on": "torch, cpu"}
    yield Scorer(score, manifest, about, gone)


def check_store(store: Store, manifest: Manifest) -> None:
    """Make sure that a store shows what a model was trained to see, and names what it knows.

    Raises:
        DataError: it was prepared otherwise, or annotates other classes.
    """
    if store.info.perception != manifest.perception:
        raise DataError(
            f"{store.folder}: was prepared with other perception than {manifest.id} reads; "
            "prepare the data again with its recipe"
        )
    for output in manifest.outputs:
        if output.task == "micro_gesture" and output.class_names != store.class_names:
            raise DataError(
                f"{store.folder}: has the {len(store.class_names)} classes of "
                f"{store.info.corpus}, {manifest.id} knows {len(output.class_names)} others"
            )


def score_stores(
    scorer: Scorer, stores: Sequence[Store], split: str, hop_s: float
) -> list[ScoredVideo]:
    """`score_videos` of each; where there are several, videos are named with their store's folder.

    Raises:
        DataError: one is given twice, has no such videos, or another perception or other classes.
    """
    for k, store in enumerate(stores):  # before minutes of scoring
        if store.folder.resolve() in [other.folder.resolve() for other in stores[:k]]:
            raise DataError(f"{store.folder}: is given twice, its videos would count twice")
        check_store(store, scorer.manifest)
        check_split(store, split)
    return [
        _named_with(store.folder, item) if len(stores) > 1 else item
        for store in stores
        for item in score_videos(scorer, store, split, hop_s)
    ]


def _named_with(folder: Path, item: ScoredVideo) -> ScoredVideo:
    return replace(item, video=replace(item.video, id=str(folder / item.video.id)))


def check_split(store: Store, split: str) -> None:
    """Make sure that a store has videos of a split.

    Raises:
        DataError: it has none.
    """
    if not store.videos(split):
        names = sorted({v.split for v in store.videos()})
        cure = "; `train prepare --hold-out 0.2` takes some from training" if split == "val" else ""
        raise DataError(
            f"{store.folder}: has no videos of the split {split!r}, only {', '.join(names)}{cure}"
        )


def score_videos(scorer: Scorer, store: Store, split: str, hop_s: float) -> list[ScoredVideo]:
    """Windows every `hop_s` over the videos of a split, with a progress bar.

    Raises:
        DataError: an empty split, or a store of other perception or classes.
    """
    check_store(store, scorer.manifest)
    check_split(store, split)
    bar = tqdm(store.videos(split), desc=f"score {split}", unit="video", mininterval=1.0)
    return [_score_video(scorer, store, video, hop_s) for video in bar]


def _score_video(scorer: Scorer, store: Store, video: StoredVideo, hop_s: float) -> ScoredVideo:
    spec = scorer.manifest.window
    span = min(spec.span_s, video.end - video.start)
    first = video.start + span
    # At frames, as live windows do and as those did that training saw.
    due = np.arange(first, video.end + 1e-6, hop_s)
    ends = np.unique([store.last_frame(video.id, t) for t in due])  # one in a pause, not many
    probs: dict[str, list[Probs]] = {o.task: [] for o in scorer.manifest.outputs}
    covered: dict[str, list[float]] = {o.task: [] for o in scorer.manifest.outputs}
    for lo in range(0, len(ends), _BATCH):
        windows = [
            store.window(
                video.id,
                end - spec.span_s,
                end,
                inputs=scorer.manifest.inputs,
                anchor=spec.anchor,
            )
            for end in ends[lo : lo + _BATCH]
        ]
        for end, scores in zip(ends[lo : lo + _BATCH], _scores(scorer, windows), strict=True):
            is_whole = store.is_whole(video.id, end - span, end, spec.max_gap_s)
            for output in scorer.manifest.outputs:
                count = len(output.class_names)
                probs[output.task].append(
                    scores[output.task].probs if scores else np.full(count, 1 / count, np.float32)
                )
                seen = scores[output.task].coverage if scores and is_whole else 0.0
                covered[output.task].append(seen)
    return ScoredVideo(
        video, ends, ends - span * (1 - spec.anchor),
        {task: np.stack(rows) for task, rows in probs.items()},
        {task: np.array(shares) for task, shares in covered.items()},
        is_between=store.is_rendered and video.emotion is None, is_trimmed=store.info.is_trimmed,
    )  # fmt: skip


def _scores(scorer: Scorer, windows: Sequence[Window | None]) -> Iterator[dict[str, Scores] | None]:
    """Scores of each window; None for one that spans a gap or shows nothing."""
    whole = [w for w in windows if w is not None]
    try:
        found = iter(scorer.score(whole))
        for window in windows:
            yield next(found) if window is not None else None
    except WindowError:
        for window in windows:
            try:
                yield scorer.score([window])[0] if window is not None else None
            except WindowError:
                yield None


def live_events(scored: ScoredVideo, manifest: Manifest, config: Config, task: str) -> list[Span]:
    """The events that the live decision layer makes of a video's scores."""
    decider = _decider(manifest, config, task)
    events: list[Event] = []
    for prediction in _predictions(scored, manifest, task):
        events += decider.step([prediction], now=prediction.end)[1]
    events += decider.flush(float(scored.ends[-1]))
    names = _output(manifest, task).class_names
    return [Span(names.index(e.label), e.start, e.end) for e in events]


def live_states(
    scored: ScoredVideo, manifest: Manifest, config: Config, task: str
) -> list[int | None]:
    """The class that the live decision layer shows after each window; None while it abstains."""
    decider = _decider(manifest, config, task)
    names = _output(manifest, task).class_names
    shown = []
    for prediction in _predictions(scored, manifest, task):
        (estimate,), _ = decider.step([prediction], now=prediction.end)
        shown.append(None if estimate.label is None else names.index(estimate.label))
    return shown


def _output(manifest: Manifest, task: str) -> OutputSpec:
    return next(o for o in manifest.outputs if o.task == task)


def _decider(manifest: Manifest, config: Config, task: str) -> Decider:
    spec = TaskSpec(_output(manifest, task), manifest.window.min_coverage, untrained=False)
    return Decider([spec], config)


def _predictions(scored: ScoredVideo, manifest: Manifest, task: str) -> Iterator[Prediction]:
    # As the buffer counts shots: a cut is the first moment of the next one.
    shots = np.searchsorted(scored.video.cuts, scored.at + 1e-6, side="right")
    for k, end in enumerate(scored.ends):
        yield Prediction(
            source=scored.video.id, task=task, start=float(end - manifest.window.span_s),
            end=float(end), at=float(scored.at[k]), probs=scored.probs[task][k].copy(),
            coverage=float(scored.coverage[task][k]), latency_s=0.0, bundle=manifest.id,
            shot=int(shots[k]),
        )  # fmt: skip
