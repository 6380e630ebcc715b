"""Temperature and thresholds from a validation split, into a bundle that still verifies."""

import logging
import math
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.bundle import load_bundle
from engines.engine import open_engine
from engines.errors import BundleError, DigestError
from engines.manifest import TaskMetrics, Thresholds
from engines.postprocess import softmax
from engines.verify import verify
from realtime.config import Config
from tests.engines.tiny_bundle import tiny_manifest, write_tiny_bundle
from tests.train.scored import fitting_bundle, gesture_probs, scored_video, told
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import VIDEOS, without_emotion, write_tiny_store
from train.__main__ import main
from train.annotations import DataError
from train.calibrate import calibrate, fit_temperature, with_metrics, write_manifest
from train.judged import Labelled
from train.labels import ILLUSTRATIVE

MANIFEST = tiny_manifest()
CONFIG = Config(tau_s=0.0, state_tau_s=0.0)
SPANS = ((4, 1.0, 3.0), (22, 4.0, 6.0))


@pytest.mark.parametrize(("temperature", "expected"), [(0.5, 1.0), (1.0, 1.0), (3.0, 3.0)])
def test_the_temperature_of_drawn_labels_is_found_again_unless_it_would_sharpen(
    temperature: float, expected: float
) -> None:
    """Labels are drawn from softmax(logits / T): the model is sharper by T than it should be."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    cumulated = softmax(logits, temperature).cumsum(axis=1)
    labels = (rng.uniform(size=(4000, 1)) > cumulated).sum(axis=1).clip(max=4)
    found = fit_temperature(Labelled(softmax(logits, 1.0), labels.astype(np.intp), ("a",) * 4000))
    assert found == pytest.approx(expected, rel=0.1)


def test_faces_in_between_hold_a_temperature_back_and_so_may_leave_it_below_one() -> None:
    """All labelled windows are right with 0.8, so that surer were likelier, but for the others."""
    sure = np.tile(np.array([[0.2, 0.8]], np.float32), (60, 1))
    windows = Labelled(sure, np.ones(60, np.intp), ("a",) * 60)
    assert fit_temperature(windows) == pytest.approx(1.0, rel=1e-3)
    # With a share q of windows in between the likeliest probability is 1 - q / 2.
    for others, expected in ((20, 0.875), (60, 0.75)):
        factor = fit_temperature(windows, 1.0, sure[:1].repeat(others, axis=0))
        assert softmax(np.log(sure[:1]), factor)[0, 1] == pytest.approx(expected, abs=1e-3)


def overconfident() -> list[tuple[int, float]]:
    """Sure by 0.99 of what is right in 16 of the 25 windows."""
    return [(label if k % 3 else 9, 0.99) for k, (label, _) in enumerate(told(SPANS, 7.0))]


def test_calibration_mends_what_is_too_sure_and_is_multiplied_into_the_manifest() -> None:
    outputs = tuple(replace(o, temperature=2.0) for o in MANIFEST.outputs)
    before = replace(MANIFEST, outputs=outputs)
    scored = scored_video("a", overconfident(), SPANS, evenly=True)
    manifest, (found,) = calibrate([scored], before, CONFIG)
    assert found.task == "micro_gesture"
    assert found.before.ece == pytest.approx(0.99 - 16 / 25, abs=1e-4)
    assert found.after.ece < 0.02
    assert found.temperature > 2.0
    gesture, emotion = manifest.outputs
    assert gesture.temperature == found.temperature
    assert emotion == outputs[1]  # nothing is known of emotion here: it stays


def test_thresholds_of_events_are_those_of_the_best_f1_through_the_live_decisions() -> None:
    """The gestures are said with 0.9, a false one with 0.4: only in between all is right."""
    said = [(k, 0.9) if k != ILLUSTRATIVE else (9, 0.4) for k, _ in told(SPANS, 7.0)]
    # So many windows of each confidence are right that the temperature stays near 1.
    manifest, (found,) = calibrate([scored_video("a", said, SPANS)], MANIFEST, CONFIG)
    rows = np.stack([gesture_probs(4, 0.9), gesture_probs(9, 0.4)])
    right, wrong = 1 - softmax(np.log(rows), found.temperature)[:, ILLUSTRATIVE]
    assert wrong < manifest.outputs[0].thresholds.on <= right
    assert found.goal == pytest.approx(1.0)
    assert found.goal_name == "spotting F1"


def test_thresholds_of_a_state_leave_out_what_is_as_often_wrong_as_right() -> None:
    """0.7 is right in one half, 0.95 always: only what is surer than 0.7 is worth showing."""
    videos = [
        scored_video(f"{k}", [(0, 0.5)] * 8, positive=[p] * 8, emotion=truth)
        for k, (p, truth) in enumerate([(0.7, 0), (0.7, 1), (0.95, 1), (0.95, 1)])
    ]
    manifest, found = calibrate(videos, MANIFEST, CONFIG)
    # Without annotated gestures every window is background, which is said by none.
    emotion = next(item for item in found if item.task == "emotion")
    thresholds = manifest.outputs[1].thresholds
    tempered = 1 / (1 + math.exp(-math.log(0.7 / 0.3) / emotion.temperature))
    assert thresholds.on > tempered
    assert emotion.goal == pytest.approx((2 / 3 + 0 / 1) / 2)  # of each state, never wrongly
    assert thresholds.off < thresholds.on


@pytest.mark.parametrize(("is_between", "shown_at"), [(False, (0.0, 0.7)), (True, (0.72, 0.95))])
def test_of_a_face_that_shows_no_emotion_no_state_is_to_be_shown(
    is_between: bool, shown_at: tuple[float, float]
) -> None:
    """0.7 is always right where an emotion is known; one face is known to show none."""
    rows = [(0.05, 0), (0.3, 0), (0.7, 1), (0.95, 1), (0.95, 1), (0.95, 1), (0.72, None)]
    videos = [
        scored_video(
            f"{k}", [(0, 0.5)] * 8, positive=[p] * 8, emotion=truth,
            is_between=truth is None and is_between,
        )
        for k, (p, truth) in enumerate(rows)
    ]  # fmt: skip
    manifest, _ = calibrate(videos, MANIFEST, CONFIG)
    emotion = manifest.outputs[1]
    low, high = (1 / (1 + (1 / max(p, 1e-9) - 1) ** (1 / emotion.temperature)) for p in shown_at)
    assert low < emotion.thresholds.on <= high


def test_by_labelled_faces_alone_a_state_is_never_made_surer_than_the_network_is() -> None:
    """Right in every video with 0.7: the likeliest temperature would say 1.0, of any face."""
    videos = [
        scored_video(f"{k}", [(0, 0.5)] * 8, positive=[p] * 8, emotion=truth)
        for k, (p, truth) in enumerate([(0.3, 0), (0.7, 1)])
    ]
    _, found = calibrate(videos, MANIFEST, CONFIG)
    emotion = next(item for item in found if item.task == "emotion")
    assert emotion.temperature == pytest.approx(1.0, abs=1e-3)


def test_without_any_truth_there_is_nothing_to_calibrate_on() -> None:
    manifest = replace(MANIFEST, outputs=MANIFEST.outputs[1:])
    with pytest.raises(DataError, match="no video of this split has a label"):
        calibrate([scored_video("a", [(0, 0.5)] * 4)], manifest, CONFIG)


def test_a_task_of_one_class_stays_as_it_is_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """MiGA's validation has won matches alone: always saying so would be never wrong."""
    won = [
        scored_video(f"{k}", told(SPANS, 7.0), SPANS, positive=[0.6] * 25, emotion=1)
        for k in (1, 2)
    ]
    with caplog.at_level(logging.WARNING):
        manifest, (found,) = calibrate(won, MANIFEST, CONFIG)
    assert found.task == "micro_gesture"
    assert manifest.outputs[1] == MANIFEST.outputs[1]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("emotion: not calibrated, all windows of this split are 'positive'; ")
    assert "--hold-out" in line
    emotion_alone = replace(MANIFEST, outputs=MANIFEST.outputs[1:])
    with pytest.raises(DataError, match=r"or all have the same; `train prepare --hold-out 0\.2`"):
        calibrate(won, emotion_alone, CONFIG)


def test_metrics_of_the_same_split_are_replaced_and_others_stay() -> None:
    def row(split: str, top1: float) -> TaskMetrics:
        return TaskMetrics(
            task="micro_gesture", split=split, n=5, top1=top1, macro_f1=None, ece=None
        )

    first = with_metrics(MANIFEST, [row("val", 0.1), row("test", 0.2)])
    assert with_metrics(first, [row("test", 0.3)]).metrics == (row("val", 0.1), row("test", 0.3))


def test_the_calibration_error_of_another_temperature_is_forgotten() -> None:
    rows = [
        TaskMetrics(task=task, split="test", n=5, top1=0.8, macro_f1=None, ece=0.3)
        for task in ("micro_gesture", "emotion")
    ]
    scored = [scored_video("a", overconfident(), SPANS, evenly=True)]
    manifest, _ = calibrate(scored, with_metrics(MANIFEST, rows), CONFIG)
    assert manifest.metrics == (replace(rows[0], ece=None), rows[1])  # emotion stays as it was


def test_only_the_manifest_is_replaced(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    outputs = tuple(replace(o, thresholds=Thresholds(on=0.7, off=0.2)) for o in MANIFEST.outputs)
    write_manifest(folder, replace(load_bundle(folder).manifest, outputs=outputs))
    assert load_bundle(folder).manifest.outputs == outputs
    after = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert [name for name in after if after[name] != before.get(name)] == ["manifest.json"]
    assert set(after) == set(before)


def test_a_manifest_that_does_not_fit_the_files_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(DigestError):
        write_manifest(folder, MANIFEST)
    assert (folder / "manifest.json").read_bytes() == before


def test_a_full_disk_leaves_the_bundle_as_it_was(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(BundleError, match=r"bundle: cannot be written \(File too large\)"):
            write_manifest(folder, load_bundle(folder).manifest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny())


def test_the_command_writes_a_bundle_that_verifies(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = fitting_bundle(tmp_path / "bundle"), tmp_path / "out"
    old = load_bundle(bundle).manifest
    command = ["calibrate", "--bundle", str(bundle), "--data", str(store), "--device", "ort"]
    assert main([*command, "--out", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    new = load_bundle(bundle).manifest
    for line, output, previous in zip(shown, new.outputs, old.outputs, strict=False):
        assert line.startswith(f"{output.task}: temperature {output.temperature:.3f}, on ")
        assert output.temperature != previous.temperature
        among = ", background included" if output.task == "micro_gesture" else ""
        assert f"(single windows{among}); " in line
    assert replace(new, outputs=old.outputs) == old
    with open_engine(bundle, "ort") as engine:
        assert verify(engine).is_ok
    assert (out / "calibration.png").stat().st_size > 10_000
    # What is calibrated already stays as it is.
    assert main(command) == 0
    again = load_bundle(bundle).manifest
    for first, second in zip(new.outputs, again.outputs, strict=True):
        assert second.temperature == pytest.approx(first.temperature, rel=0.02)


def test_what_cannot_be_calibrated_is_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fitting_bundle(tmp_path / "bundle")
    only_train = write_tiny_store(
        tmp_path / "train_only", tiny(), without_emotion([v for v in VIDEOS if v.split == "train"])
    )
    before = (bundle / "manifest.json").read_bytes()
    cases = [
        (["--data", str(only_train)],
         "has no videos of the split 'val', only train; `train prepare --hold-out 0.2` takes some"),
        (["--data", str(tmp_path)], "train prepare"),
        (["--data", str(store), "--hop-s", "0"], "hop_s: Input should be greater than 0, got 0.0"),
    ]  # fmt: skip
    for arguments, said in cases:
        assert main(["calibrate", "--bundle", str(bundle), "--device", "ort", *arguments]) == 2
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("train:")]
        assert said in line
    assert (bundle / "manifest.json").read_bytes() == before
