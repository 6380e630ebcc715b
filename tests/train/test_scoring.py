"""Scores of whole videos: by a bundle, by a checkpoint, and as the live loop would have them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.bundle import load_bundle
from engines.engine import open_engine
from engines.errors import WindowError
from engines.postprocess import Scores
from engines.preprocess import preprocess
from engines.window import Window
from realtime.buffer import ObservationBuffer
from realtime.config import Config
from realtime.lineup import load_lineup
from realtime.pipeline import analyze
from realtime.records import Status
from realtime.sources import open_source
from tests.clips import make_clip
from tests.engines.tiny_bundle import tiny_manifest
from tests.fakes import frame_at
from tests.train.scored import fitting_bundle
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import (
    RATE_HZ,
    DrawnPerson,
    TinyVideo,
    rewrite_frames,
    write_tiny_store,
)
from train.annotations import DataError
from train.checkpoint import save_checkpoint
from train.dataset import manifest_of
from train.judged import windows_of
from train.labels import ILLUSTRATIVE
from train.models.heads import build_net
from train.perception import perception_of
from train.scoring import (
    Scorer,
    bundle_scorer,
    checkpoint_scorer,
    live_events,
    live_states,
    score_videos,
)
from train.store import Store, open_store

VIDEOS = (
    TinyVideo("long", "test", ((4, 1.0, 3.0), (22, 3.5, 6.0)), emotion=1, seconds=7.0),
    TinyVideo("short", "test", ((4, 0.0, 0.5),), seconds=0.6),
    TinyVideo("other", "val", seconds=2.0),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny(), VIDEOS))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = [{"thresholds": {"on": 0.4, "off": 0.2}}, {}]
    return fitting_bundle(tmp_path_factory.mktemp("bundles") / "tiny", outputs=outputs)


def test_windows_lie_a_hop_apart_and_are_about_their_middle(store: Store, bundle: Path) -> None:
    with bundle_scorer(bundle, "ort") as scorer:
        long, short = score_videos(scorer, store, "test", 0.5)
    assert long.ends == pytest.approx(np.arange(1.0, 6.9 + 1e-6, 0.5))
    assert long.at == pytest.approx(long.ends - 0.5)
    for task, classes in (("micro_gesture", 32), ("emotion", 2)):
        assert long.probs[task].shape == (len(long.ends), classes)
        assert long.probs[task].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
        assert np.ptp(long.probs[task], axis=0).max() > 0.01  # other windows, other scores
    assert all((seen == 1.0).all() for seen in long.coverage.values())
    # A video shorter than a window is one window, about its own middle.
    assert short.ends == pytest.approx([0.5])
    assert short.at == pytest.approx([0.25])


def test_a_bundle_scores_a_video_as_the_live_loop_does(
    store: Store, bundle: Path, tmp_path: Path
) -> None:
    """The same seconds, once from the store and once from the clip through the runtime's loop."""
    config = Config(hop_s=0.5)
    with bundle_scorer(bundle, "ort") as scorer:
        scored = score_videos(scorer, store, "test", config.hop_s)[0]
        stored_events = live_events(scored, scorer.manifest, config, "micro_gesture")
    video = VIDEOS[0]
    stamps = [k / RATE_HZ for k in range(round(video.seconds * RATE_HZ))]
    clip = make_clip(tmp_path / "long.mp4", stamps, size=(64, 48))
    lineup = load_lineup([bundle], config)
    with open_engine(bundle, "ort") as engine, open_source(str(clip)) as source:
        snapshots = list(
            analyze(
                source, DrawnPerson(lineup.perception, video), lineup.buffer(),
                lineup.predictor([engine]), lineup.decider(), status=Status(),
            )
        )  # fmt: skip
    live = [p for s in snapshots for p in s.predictions if p.task == "micro_gesture"]
    assert [p.end for p in live] == pytest.approx(list(scored.ends), abs=0.01)
    assert [p.at for p in live] == pytest.approx(list(scored.at), abs=0.06)
    # The store's pictures are JPEG, the loop's are not.
    assert np.stack([p.probs for p in live]) == pytest.approx(
        scored.probs["micro_gesture"], abs=0.05
    )
    live_gestures = [e for s in snapshots for e in s.new_events if e.task == "micro_gesture"]
    assert len(live_gestures) == len(stored_events) > 0
    names = lineup.tasks[0].output.class_names
    for event, span in zip(live_gestures, stored_events, strict=True):
        assert event.label == names[span.label]
        assert (event.start, event.end) == pytest.approx((span.start, span.end), abs=0.15)


def test_a_checkpoint_scores_as_its_net_computes(store: Store, tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = tiny()
    net = build_net(recipe.net).eval()
    save_checkpoint(tmp_path / "net.pt", recipe, net.state_dict())
    with checkpoint_scorer(tmp_path / "net.pt", recipe) as scorer:
        (scored,) = score_videos(scorer, store, "val", 10.0)
    manifest = manifest_of(recipe)
    window = store.window(
        "other", scored.ends[0] - manifest.window.span_s, scored.ends[0], anchor=0.5
    )
    assert window is not None
    feeds = {n: torch.from_numpy(a) for n, a in preprocess([window], manifest).items()}
    with torch.inference_mode():
        logits = net(**feeds)
    for output, row in zip(manifest.outputs, logits, strict=True):
        wanted = (row[0] / output.temperature).softmax(-1).numpy()
        assert scored.probs[output.task][0] == pytest.approx(wanted, abs=1e-5)


def test_what_the_live_buffer_would_not_give_is_not_covered(bundle: Path, tmp_path: Path) -> None:
    """Another person after 3 s: until a window is filled again there is no evidence."""
    folder = write_tiny_store(
        tmp_path / "store", tiny(), [TinyVideo("a", "test", ((4, 1.0, 5.0),), seconds=6.0)]
    )
    rewrite_frames(folder, "a", stretch=open_store(folder).times("a") >= 3.0)
    with bundle_scorer(bundle, "ort") as scorer:
        (scored,) = score_videos(scorer, open_store(folder), "test", 0.25)
    is_whole = (scored.ends < 3.0) | (scored.ends >= 4.0)
    for seen in scored.coverage.values():
        assert (seen == is_whole).all()


def test_each_task_is_covered_by_what_it_looks_at(bundle: Path, tmp_path: Path) -> None:
    """No face from 3 s on: the pose tells gestures, of the emotion the live loop is silent."""
    video = TinyVideo("a", "test", ((4, 1.0, 5.0),), emotion=1, seconds=6.0)
    folder = write_tiny_store(tmp_path / "store", tiny(), [video])
    rewrite_frames(folder, "a", has_face=open_store(folder).times("a") < 3.0)
    with bundle_scorer(bundle, "ort") as scorer:
        (scored,) = score_videos(scorer, open_store(folder), "test", 0.25)
        states = live_states(scored, scorer.manifest, Config(state_tau_s=0.0), "emotion")
    assert (scored.coverage["micro_gesture"] == 1.0).all()
    faceless = scored.ends >= 4.0
    assert (scored.coverage["emotion"][faceless] == 0.0).all()
    assert (scored.coverage["emotion"][scored.ends < 3.0] == 1.0).all()
    assert {state for state, is_out in zip(states, faceless, strict=True) if is_out} == {None}
    windows = windows_of([scored], "emotion", None)
    assert len(windows.labels) == (scored.coverage["emotion"] > 0).sum() < len(scored.ends)


@pytest.mark.parametrize(("is_trimmed", "outside"), [(False, {ILLUSTRATIVE}), (True, set())])
def test_where_gestures_are_trimmed_nothing_is_background_for_the_judge_either(
    bundle: Path, tmp_path: Path, *, is_trimmed: bool, outside: set[int]
) -> None:
    video = TinyVideo("a", "val", ((4, 1.0, 3.0),), seconds=6.0)
    folder = write_tiny_store(tmp_path / "store", tiny(), [video], is_trimmed=is_trimmed)
    with bundle_scorer(bundle, "ort") as scorer:
        scored = score_videos(scorer, open_store(folder), "val", 0.25)
    assert set(windows_of(scored, "micro_gesture", ILLUSTRATIVE).labels) == {4} | outside


def test_a_window_in_a_pause_counts_once(bundle: Path, tmp_path: Path) -> None:
    """No frame for 1.9 s: eight hops end at the last one before it."""
    folder = write_tiny_store(tmp_path / "store", tiny(), [TinyVideo("a", "test", seconds=6.0)])
    t = open_store(folder).times("a")
    rewrite_frames(folder, "a", t=t + np.where(t > 3.0, 1.9, 0.0))
    with bundle_scorer(bundle, "ort") as scorer:
        (scored,) = score_videos(scorer, open_store(folder), "test", 0.25)
    assert (np.diff(scored.ends) > 0).all()
    assert len(scored.probs["emotion"]) == len(scored.coverage["emotion"]) == len(scored.ends)


def test_windows_that_cannot_be_scored_are_even_and_not_covered(store: Store) -> None:
    manifest = replace(tiny_manifest(), perception=perception_of(tiny()))

    def score(windows: Sequence[Window]) -> list[dict[str, Scores]]:
        """Refuses every window that ends at 2.0 s."""
        if any(abs(w.end - 2.0) < 0.01 for w in windows):
            raise WindowError("a gap")
        probs = {o.task: np.eye(len(o.class_names), dtype=np.float32)[1] for o in manifest.outputs}
        return [{task: Scores(task, p.copy(), 1.0) for task, p in probs.items()} for _ in windows]

    long, _ = score_videos(Scorer(score, manifest), store, "test", 0.5)
    bad = np.isclose(long.ends, 2.0)
    assert bad.sum() == 1
    assert (long.coverage["emotion"] == np.where(bad, 0.0, 1.0)).all()
    assert long.probs["emotion"][bad] == pytest.approx(np.full((1, 2), 0.5))
    assert (long.probs["emotion"][~bad] == (0.0, 1.0)).all()


def test_a_store_that_does_not_fit_is_refused(store: Store, bundle: Path, tmp_path: Path) -> None:
    manifest = load_bundle(bundle).manifest
    scorer = Scorer(lambda windows: [], manifest)
    with pytest.raises(DataError, match="has no videos of the split 'train', only test, val"):
        score_videos(scorer, store, "train", 0.5)
    seen_otherwise = Scorer(lambda windows: [], tiny_manifest())
    with pytest.raises(DataError, match=r"other perception than tiny 0\.1 reads; prepare"):
        score_videos(seen_otherwise, store, "test", 0.5)
    smg = open_store(
        write_tiny_store(tmp_path / "smg", tiny(), VIDEOS[2:], class_names=("One", "Two"))
    )
    with pytest.raises(DataError, match=r"has the 2 classes of tiny, tiny 0\.1 knows 32 others"):
        score_videos(scorer, smg, "val", 0.5)


def test_the_rule_of_what_is_whole_is_the_buffers(store: Store) -> None:
    """The offline rule against the live buffer itself, at every end of a window."""
    spec = tiny_manifest().window
    buffer = ObservationBuffer(store.info.perception, span_s=1.0, max_gap_s=spec.max_gap_s)
    person = DrawnPerson(store.info.perception, VIDEOS[0])
    for k, t in enumerate(store.times("long")):
        buffer.append(person(frame_at(float(t), k)))
        try:
            buffer.window(float(t), 1.0, 0.5)
            is_given = True
        except WindowError:
            is_given = False
        assert store.is_whole("long", float(t) - 1.0, float(t), spec.max_gap_s) == is_given
