"""Figures of a model, from scores written by hand through the live decision layer."""

import math
from dataclasses import replace

import numpy as np
import pytest

from realtime.config import Config
from tests.engines.tiny_bundle import DROP, tiny_manifest
from tests.train.scored import gesture_probs, scored_video, told
from train.evaluate import evaluate, manifest_metrics
from train.judged import cut_out, pooled, windows_of
from train.labels import ILLUSTRATIVE
from train.report import numbers, shown_lines, text
from train.scoring import live_events, live_states
from train.states import Shown, shown

MANIFEST = tiny_manifest()
CONFIG = Config(tau_s=0.0)
SPANS = ((4, 1.0, 3.0), (22, 4.0, 6.0))


def test_a_gesture_is_judged_by_the_windows_whose_middle_lies_in_it() -> None:
    # About 0.5, 0.75, ... 1.75 s.
    said = [(4, 0.9), (4, 0.5), (7, 0.9), (9, 0.8), (9, 0.4), (4, 0.9)]
    clips = cut_out([scored_video("a", said, [(9, 1.25, 1.5), (4, 0.5, 0.75)])])
    assert clips.labels.tolist() == [9, 4]
    assert clips.probs[0] == pytest.approx((gesture_probs(9, 0.8) + gesture_probs(9, 0.4)) / 2)
    assert clips.probs[1] == pytest.approx((gesture_probs(4, 0.9) + gesture_probs(4, 0.5)) / 2)
    assert clips.videos == ("a", "a")


def test_a_gesture_at_the_edge_is_judged_by_the_nearest_window_and_that_is_said() -> None:
    said = [(4, 0.9), (7, 0.9), (7, 0.9), (9, 0.8)]  # about 0.5 to 1.25 s
    video = scored_video("a", said, [(4, 0.0, 0.3), (9, 1.6, 1.7), (7, 0.8, 0.9), (7, 0.5, 1.0)])
    clips = cut_out([video])
    assert clips.probs.argmax(axis=1).tolist() == [4, 9, 7, 7]
    assert clips.labels.tolist() == [4, 9, 7, 7]
    report = evaluate([video], MANIFEST, CONFIG)
    assert report.notes[0] == (
        "3 of the gestures hold no window's middle: judged by the nearest window"
    )


def test_single_windows_are_background_outside_and_the_shorter_gesture_where_two_overlap() -> None:
    video = scored_video("a", [(0, 0.9)] * 6, [(4, 0.75, 1.5), (9, 1.0, 1.25)], emotion=1)
    windows = windows_of([video], "micro_gesture", ILLUSTRATIVE)
    assert windows.labels.tolist() == [31, 4, 9, 9, 4, 31]
    assert windows_of([video], "micro_gesture", None).labels.tolist() == [4, 9, 9, 4]
    assert windows_of([video], "emotion", None).labels.tolist() == [1] * 6
    nobody_knows = scored_video("b", [(0, 0.9)] * 6)
    assert not len(windows_of([nobody_knows], "emotion", None).labels)


def test_windows_that_the_live_loop_would_not_have_count_only_where_there_is_no_other() -> None:
    said = [(4, 0.9), (9, 0.9), (9, 0.9), (7, 0.9)]  # about 0.5 to 1.25 s
    video = scored_video(
        "a", said, [(4, 0.5, 1.0), (9, 0.75, 0.8)], positive=[0.9, 0.1, 0.1, 0.7], emotion=1,
        coverage={1: 0.0, 2: 0.0},
    )  # fmt: skip
    assert cut_out([video]).probs.argmax(axis=1).tolist() == [4, 9]
    assert pooled([video]).probs[0, 1] == pytest.approx(0.8)
    assert windows_of([video], "micro_gesture", ILLUSTRATIVE).labels.tolist() == [4, 31]


def test_what_is_shown_of_a_face_in_between_is_never_right() -> None:
    told_as = {  # of "nobody knows" nothing counts
        "a": ([0.05, 0.55, 0.95, 0.95], 1), "b": ([0.95, 0.95, 0.45, 0.45], 1),
        "between": ([0.55, 0.45, 0.05, 0.55], None), "nobody knows": ([0.05] * 4, None),
    }  # fmt: skip
    videos = [
        scored_video(
            name, [(0, 0.9)] * 4, positive=positive, emotion=truth, is_between=name == "between"
        )
        for name, (positive, truth) in told_as.items()
    ]
    at_once = Config(tau_s=0.0, state_tau_s=0.0)
    found = shown(videos, MANIFEST, at_once, "emotion")
    assert found == {1: Shown(4 / 8, 1 / 8, 2), None: Shown(0.0, 1 / 4, 1)}
    assert "\n".join(shown_lines(found)) == (
        "  shown live, 2 of positive: rightly 50%, wrongly 12%, else not sure\n"
        "  shown live, 1 of neither:  wrongly 25%, else not sure"
    )


def test_with_faces_in_between_three_quarters_sure_of_what_is_true_is_rightly_sure() -> None:
    happy, neither = (
        scored_video(
            name, [(0, 0.9)] * 8, positive=[0.75] * 8, emotion=truth, is_between=truth is None
        )
        for name, truth in (("happy", 1), ("neither", None))
    )
    alone = evaluate([happy], MANIFEST, CONFIG)
    both = evaluate([happy, neither], MANIFEST, CONFIG)
    assert alone.emotion is not None
    assert both.emotion is not None
    assert alone.emotion.ece_between is None
    assert (alone.emotion.ece, both.emotion.ece) == pytest.approx((0.25, 0.25))
    assert both.emotion.ece_between == pytest.approx(0.0, abs=1e-6)
    assert "0.250 of single windows\n" in text(alone, MANIFEST)
    assert "0.250 of single windows; 0.000 with faces in between" in text(both, MANIFEST)


def test_emotion_is_one_answer_a_video_the_mean_of_its_windows() -> None:
    videos = [
        scored_video("a", [(0, 0.9)] * 3, positive=[0.2, 0.3, 0.9], emotion=0),
        scored_video("b", [(0, 0.9)] * 2, positive=[0.9, 0.7], emotion=1),
        scored_video("c", [(0, 0.9)] * 2, positive=[0.6, 0.2], emotion=1),
        scored_video("d", [(0, 0.9)] * 2, positive=[0.99, 0.99]),
    ]
    found = pooled(videos)
    assert found.probs[:, 1] == pytest.approx([1.4 / 3, 0.8, 0.4])
    report = evaluate(videos, MANIFEST, CONFIG)
    assert report.emotion is not None
    assert report.emotion.accuracy.value == pytest.approx(2 / 3)
    assert report.emotion.balanced.value == pytest.approx((1 + 1 / 2) / 2)
    assert report.emotion.auc.value == pytest.approx(1 / 2)
    assert report.gesture is None
    assert report.notes == ["no annotated gesture: gestures were not evaluated"]


def test_a_model_that_is_always_right_is_found_to_be() -> None:
    videos = [scored_video(name, told(SPANS, 7.0), SPANS, subject=name, emotion=1) for name in "ab"]
    report = evaluate(videos, MANIFEST, CONFIG)
    assert report.gesture is not None
    assert report.spotting is not None
    assert (report.gesture.top1.value, report.gesture.top5) == (1.0, 1.0)
    assert report.gesture.macro_f1.value == 1.0
    # 0.9 sure and always right
    assert (report.gesture.ece, report.gesture.window_ece) == pytest.approx((0.1, 0.1), abs=1e-6)
    assert report.gesture.by_subject == {"a": 1.0, "b": 1.0}
    for iou in (0.1, 0.3, 0.5):
        found = report.spotting.at[iou]
        assert (found.hits, found.truths, found.events) == (4, 4, 4)
    assert report.spotting.starter_kit.f1 == pytest.approx(1.0)
    assert report.emotion is not None
    assert math.isnan(report.emotion.auc.value)  # one class alone
    assert report.notes == []


def test_events_come_from_the_live_decisions() -> None:
    """Entered where the smoothed probability passes `on`, left where it falls below `off`."""
    said = [(4, p) for p in (0.1, 0.1, 0.7, 0.9, 0.9, 0.4, 0.2, 0.1)]  # about 0.5 to 2.25 s
    (event,) = live_events(scored_video("a", said), MANIFEST, CONFIG, "micro_gesture")
    assert event.label == 4
    assert event.start == pytest.approx(0.75 + 0.25 * (0.5 - 0.1) / (0.7 - 0.1))
    assert event.end == pytest.approx(1.75 + 0.25 * (0.4 - 0.3) / (0.4 - 0.2))


def test_what_is_not_seen_and_what_is_too_short_is_no_event() -> None:
    said = told(SPANS, 7.0)
    hidden = dict.fromkeys(range(2, 11), 0.0)  # about 1.0 to 3.0 s: the first gesture
    events = live_events(
        scored_video("a", said, coverage=hidden), MANIFEST, CONFIG, "micro_gesture"
    )
    assert [e.label for e in events] == [22]
    strict = Config(tau_s=0.0, min_s=2.5)
    assert live_events(scored_video("a", said), MANIFEST, strict, "micro_gesture") == []


def test_states_are_those_that_the_live_decisions_show() -> None:
    video = scored_video("a", [(0, 0.9)] * 5, positive=[0.5, 0.7, 0.55, 0.45, 0.2])
    config = Config(state_tau_s=0.0)
    # Entered at 0.6, left below 0.5.
    assert live_states(video, MANIFEST, config, "emotion") == [None, 1, 1, None, 0]


def test_at_a_cut_the_moving_average_begins_anew_as_it_does_live() -> None:
    """Windows are about 0.5, 0.75, ... 1.75 s; the next shot begins with a frame at 1.0 s."""
    video = scored_video("a", [(4, 0.9)] * 2 + [(9, 0.9)] * 4, positive=[0.9] * 2 + [0.1] * 4)
    cut = replace(video, video=replace(video.video, cuts=(1.0,)))
    states = [live_states(item, MANIFEST, Config(), "emotion") for item in (video, cut)]
    assert states == [[1] * 6, [1, 1, 0, 0, 0, 0]]  # after a second still 0.1 + 0.8 exp(-1 / 2)


def test_background_is_neither_a_truth_nor_an_event_of_spotting() -> None:
    spans = [(ILLUSTRATIVE, 1.0, 3.0), (4, 4.0, 6.0)]
    report = evaluate([scored_video("a", told(spans, 7.0), spans)], MANIFEST, CONFIG)
    assert report.spotting is not None
    assert report.spotting.at[0.3].truths == report.spotting.at[0.3].events == 1
    assert report.gesture is not None
    assert len(report.gesture.clips.labels) == 2  # but it is a class of the trimmed test


def test_the_manifest_gets_one_row_a_task() -> None:
    videos = [scored_video("a", told(SPANS, 7.0), SPANS, positive=[0.8] * 25, emotion=1)]
    gesture, emotion = manifest_metrics(evaluate(videos, MANIFEST, CONFIG), "tiny, test")
    assert (gesture.task, gesture.split, gesture.n) == ("micro_gesture", "tiny, test", 2)
    assert (gesture.top1, gesture.macro_f1) == (1.0, 1.0)
    assert (emotion.task, emotion.n, emotion.top1) == ("emotion", 1, 1.0)
    assert emotion.ece == pytest.approx(0.2, abs=1e-6)


def test_what_no_window_says_has_no_calibration_error() -> None:
    """A face in none of the windows: the video has an answer all the same, none is said live."""
    video = scored_video("a", [(4, 0.9)] * 3, SPANS, positive=[0.9] * 3, emotion=1)
    faceless = replace(video, coverage=video.coverage | {"emotion": np.zeros(3)})
    report = evaluate([faceless], MANIFEST, CONFIG)
    assert report.emotion is not None
    assert math.isnan(report.emotion.ece)
    assert numbers(report, MANIFEST, {})["emotion"]["ece"] is None
    gesture, emotion = manifest_metrics(report, "tiny, test")
    assert (emotion.top1, emotion.ece) == (1.0, None)
    assert gesture.ece is not None


def test_a_model_of_one_task_is_asked_for_that_alone() -> None:
    manifest = tiny_manifest(outputs=[{}, DROP])
    video = scored_video("a", told(SPANS, 7.0), SPANS, emotion=1)
    report = evaluate([video], manifest, CONFIG)
    assert report.gesture is not None
    assert report.emotion is None
    assert np.isfinite(report.gesture.clips.probs).all()
