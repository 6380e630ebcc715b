"""What is measured on real people: the rules by hand, and the clips through real perception."""

import json
from collections.abc import Iterator
from dataclasses import astuple, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from engines.skeleton import MEDIAPIPE33
from realtime.perception import open_perceiver
from realtime.perception.models import PerceptionModels
from realtime.records import Estimate, Frame, Observation, Pose, Prediction, Snapshot
from tests.clips import make_clip
from tests.fakes import frame_at
from tests.train.scored import fitting_bundle
from tests.train.tiny_recipe import tiny
from train.__main__ import main
from train.labels import MICRO_GESTURES
from train.perception import perception_of
from train.real_people import (
    HAND_TO_HEAD,
    HEAD_CLIP,
    SMILE_CLIP,
    TORSO_CLIP,
    Answer,
    answers,
    frames_of,
    is_hand_at_head,
    judge_smile,
    share_at_head,
    share_of_answers,
    with_lead_in,
)

JAW, NECK, ARMS = (MICRO_GESTURES[k] for k in (10, 11, 16))


def pose(wrist: tuple[float, float], conf: float = 0.9) -> Pose:
    """Shoulders 100 px apart, the head 70 px above them, the right hand at one place."""
    xy = np.zeros((33, 2), np.float32)
    xy[:11] = (0, -70)
    xy[MEDIAPIPE33.indices(("left_shoulder", "right_shoulder")), :] = ((50, 0), (-50, 0))
    xy[13:33] = (300, 300)
    confs = np.full(33, 0.9, np.float32)
    for name in ("wrist", "index", "pinky", "thumb"):
        k = MEDIAPIPE33.joints.index(f"right_{name}")
        xy[k], confs[k] = wrist, conf
    return Pose(xy, np.zeros((33, 3), np.float32), confs, "mediapipe33")


def test_a_hand_is_at_the_head_within_two_fifths_of_the_shoulder_width() -> None:
    assert is_hand_at_head(pose((0, -31)))
    assert not is_hand_at_head(pose((0, -29)))
    assert is_hand_at_head(pose((39, -70)))
    assert not is_hand_at_head(pose((0, -70), conf=0.2))
    assert not is_hand_at_head(None)


def test_hand_to_head_are_the_head_hand_group_and_the_hair_not_the_neck() -> None:
    assert len(HAND_TO_HEAD) == 10
    assert JAW in HAND_TO_HEAD
    assert "Playing or adjusting hair" in HAND_TO_HEAD
    assert NECK not in HAND_TO_HEAD
    assert "Head up" not in HAND_TO_HEAD


def snapshot(
    t: float, wrist: tuple[float, float], told: tuple[float, str | None] | None
) -> Snapshot:
    """A frame; `told`: the instant of a new prediction, and what is on top then."""
    observation = Observation(
        t=t, index=0, source="s", arrived=0.0, rgb=np.zeros((4, 4, 3), np.uint8),
        crop=np.array([0, 0, 4, 4], np.float32), pose=pose(wrist), face=None,
    )  # fmt: skip
    top = told[1] if told else ARMS
    estimate = Estimate(
        "micro_gesture", None, 0.5, 0.0, "not sure", top=((top, 0.5),) if top else ()
    )
    predictions = (prediction("micro_gesture", told[0]),) if told else ()
    return Snapshot(frame_at(t), observation, (estimate,), predictions)


def prediction(task: str, at: float, positive: float = 0.5) -> Prediction:
    return Prediction(
        source="s", task=task, start=at - 0.5, end=at + 0.5, at=at, coverage=1.0, latency_s=0.0,
        probs=np.array([1 - positive, positive], np.float32), bundle="b",
    )  # fmt: skip


HEAD, TORSO = (0.0, -60.0), (0.0, 40.0)


def test_a_frame_is_right_if_the_answer_about_it_is_near_enough() -> None:
    """A hand at the head from 1.0 to 1.9 s; one right answer is about 1.0 s."""
    snapshots = [
        snapshot(k / 10, HEAD if 10 <= k < 20 else TORSO, {20: (1.0, JAW), 25: (1.5, NECK)}.get(k))
        for k in range(40)
    ]
    found = share_at_head(snapshots)
    assert found.of_s == pytest.approx(1.0)
    assert found.value == pytest.approx(0.4)  # 1.0, 1.1, 1.2, 1.3 s lie within 0.35 s of 1.0 s


def test_time_without_an_answer_counts_as_wrong_and_none_at_all_is_no_number() -> None:
    without = [snapshot(k / 10, HEAD, (k / 10, None)) for k in range(10)]
    assert share_at_head(without).value == 0.0
    nothing = share_at_head([snapshot(k / 10, TORSO, (k / 10, JAW)) for k in range(10)])
    assert np.isnan(nothing.value)
    assert nothing.of_s == 0.0


def test_at_the_torso_every_answer_counts() -> None:
    given = [Answer(0.25 * k, top) for k, top in enumerate((JAW, ARMS, None, NECK))]
    found = share_of_answers(given, 0.25)
    assert (found.value, found.of_s) == (0.25, 1.0)
    assert answers([snapshot(2.0, TORSO, (1.0, JAW)), snapshot(2.1, TORSO, None)]) == [
        Answer(1.0, JAW)
    ]


def test_the_lead_in_plays_the_neutral_beginning_to_and_fro() -> None:
    frames = [frame_at(k / 10, k) for k in range(24)]
    led = with_lead_in(frames, 1.2)
    t = [f.t for f in led]
    assert t == pytest.approx([k / 10 for k in range(-12, 24)])
    assert led[12].image is frames[0].image
    shown = [next(k for k, f in enumerate(frames) if f.image is g.image) for g in led[:12]]
    # Frames 0 to 5 are neutral; back from the first of them: 1, 2, 3, 4, 5, 4, ...
    assert shown[::-1] == [1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2]
    assert [f.index for f in led] == list(range(36))


def test_windows_before_the_smile_see_nothing_of_it_and_those_that_see_half_are_left_out() -> None:
    given = [
        prediction("emotion", at, positive)
        for at, positive in [(-0.5, 0.1), (0.0, 0.6), (0.3, 0.9), (0.7, 0.4), (1.2, 0.8), (2.3, 0)]
    ]
    smiling, before = judge_smile([*given, prediction("micro_gesture", 1.0, 0.9)], 0.55)
    assert astuple(before) == pytest.approx((2, 1, 0.35))
    assert astuple(smiling) == pytest.approx((2, 1, 0.6))
    assert judge_smile(given, 0.65)[1].positive == 0, "not sure enough to be shown"


def thinned(clip: Path, step: int) -> Iterator[Frame]:
    return islice(frames_of(clip), 0, None, step)


def test_perception_finds_the_hands_where_the_eye_does(
    shared: Path, perception_models: PerceptionModels
) -> None:
    """Times read off the pictures; every sixth frame is enough."""
    spec = replace(perception_of(tiny()), face_size=112)
    at_head = [(0.6, 1.0), (2.0, 3.0), (4.1, 4.4), (6.2, 6.7), (8.0, 8.2), (10.6, 10.8)]
    away = [(0.0, 0.3), (1.3, 1.8), (3.3, 3.8), (4.8, 5.9), (7.0, 7.7), (8.5, 10.2), (11.1, 12.5)]
    with open_perceiver(spec) as perceiver:
        found = {
            frame.t: is_hand_at_head(perceiver(frame).pose)
            for frame in thinned(shared / "media" / HEAD_CLIP, 6)
        }
    for spans, truth in ((at_head, True), (away, False)):
        seen = [is_there for t, is_there in found.items() for a, b in spans if a <= t <= b]
        assert len(seen) > 8
        assert set(seen) == {truth}


def test_the_smile_goes_through_the_runtime_with_a_neutral_lead_in(
    shared: Path, perception_models: PerceptionModels, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / SMILE_CLIP).symlink_to(shared / "media" / SMILE_CLIP)
    for name in (HEAD_CLIP, TORSO_CLIP):
        make_clip(clips / name, [k / 10 for k in range(20)])
    bundle = fitting_bundle(tmp_path / "bundle", face_size=112)
    arguments = ["evaluate", "--bundle", str(bundle), "--device", "ort", "--clips", str(clips)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    people = json.loads((tmp_path / "out" / "report.json").read_text())["real_people"]
    # Nobody is seen in the two drawn clips: answers without a class, and no hand at a head.
    assert people["hand_at_head"] == {"value": None, "of_s": 0.0}
    assert people["hands_at_torso"]["value"] == 0.0
    assert people["hands_at_torso"]["of_s"] > 0.5
    # Windows of a second end every 0.1 s; before: until 0.5 s; smiling: about 0.67 to 1.87 s.
    assert people["before_smile"]["count"] == pytest.approx(6, abs=1)
    assert people["smiling"]["count"] == pytest.approx(12, abs=1)
    assert 0 < people["smiling"]["mean"] < 1
