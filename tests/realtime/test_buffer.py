from dataclasses import replace

import numpy as np
import pytest

from engines.errors import WindowError
from engines.manifest import CropRule, ModelFile, PerceptionSpec
from realtime.buffer import MAX_HZ, ObservationBuffer
from tests.fakes import ScriptedPerceiver, frame_at

SPEC = PerceptionSpec(
    layout="mediapipe33",
    pose_model=ModelFile(name="pose", sha256="0" * 64),
    face_model=ModelFile(name="face", sha256="0" * 64),
    crop=CropRule(scale=3.0, shift=0.3, slack=0.1, tau_s=0.5),
    storage=(32, 24),
    face_size=16,
)


def filled(times: list[float], *, span_s: float = 1.0) -> ObservationBuffer:
    buffer = ObservationBuffer(SPEC, span_s=span_s, max_gap_s=0.4)
    perceive = ScriptedPerceiver(SPEC)
    for i, t in enumerate(times):
        buffer.append(perceive(frame_at(t, i)))
    return buffer


def test_a_window_holds_the_last_span_in_order_after_many_wraps() -> None:
    times = [i / 30 for i in range(400)]
    window = filled(times).window(times[-1], 1.0, 0.5)
    assert window.end == times[-1]
    assert window.start == pytest.approx(times[-1] - 1.0, abs=1e-6)
    assert len(window) == 31


def test_keypoints_are_moved_into_the_pixels_of_the_stored_region() -> None:
    perceive = ScriptedPerceiver(SPEC)
    observation = perceive(frame_at(0.0))
    buffer = filled([i / 10 for i in range(11)])
    window = buffer.window(1.0, 1.0, 0.5)
    assert observation.pose is not None
    # The region is the whole 64x48 frame, stored at 24x32 (w x h).
    np.testing.assert_allclose(window.xy[0], observation.pose.xy * [24 / 64, 32 / 48], rtol=1e-5)


def test_an_unfilled_stretch_says_how_much_was_seen() -> None:
    buffer = filled([0.0, 0.1, 0.2])
    with pytest.raises(WindowError, match=r"0\.2 s of 1\.0 s seen so far"):
        buffer.window(0.2, 1.0, 0.5)


def test_a_window_over_a_pause_refuses_to_form() -> None:
    times = [i / 10 for i in range(8)] + [1.3 + i / 10 for i in range(4)]
    buffer = filled(times)
    assert buffer.stretch == 1
    with pytest.raises(WindowError, match=r"0\.3 s of 1\.2 s seen so far"):
        buffer.window(times[-1], 1.2, 0.5)


def test_going_back_in_time_begins_a_new_stretch() -> None:
    buffer = filled([i / 10 for i in range(20)] + [0.0, 0.1])
    with pytest.raises(WindowError, match="seen so far"):
        buffer.window(0.1, 1.0, 0.5)


def test_another_subject_begins_a_new_stretch() -> None:
    buffer = ObservationBuffer(SPEC, span_s=1.0, max_gap_s=0.4)
    perceive = ScriptedPerceiver(SPEC)
    for i in range(20):
        buffer.append(replace(perceive(frame_at(i / 10, i)), is_new_subject=i == 15))
    with pytest.raises(WindowError, match=r"0\.4 s of 1\.0 s seen so far"):
        buffer.window(1.9, 1.0, 0.5)


def cut_at(cuts: set[int], times: list[float]) -> ObservationBuffer:
    buffer = ObservationBuffer(SPEC, span_s=1.0, max_gap_s=0.4)
    perceive = ScriptedPerceiver(SPEC)
    for i, t in enumerate(times):
        buffer.append(replace(perceive(frame_at(t, i)), is_cut=i in cuts))
    return buffer


def test_a_window_shows_the_shot_of_its_middle_and_holds_what_is_beside_a_cut() -> None:
    times = [i / 10 for i in range(31)]
    buffer, whole = cut_at({8, 13, 24}, times), filled(times)
    window, dense = buffer.window(3.0, 1.0, 0.5), whole.window(3.0, 1.0, 0.5)
    assert np.array_equal(window.t, dense.t)
    for held, order in ((window, [4] * 5 + [5, 6, 7, 8, 9, 10]),):  # the cut is its fifth sample
        for name in ("rgb", "xy", "xyz", "conf", "faces", "has_face"):
            assert np.array_equal(getattr(held, name), getattr(dense, name)[order]), name
    assert (buffer.shot_at(2.39), buffer.shot_at(2.4)) == (2, 3)
    early = cut_at({8, 13, 24}, times[:18])  # about 1.2 s, between two cuts
    held = early.window(1.7, 1.0, 0.5)
    assert held.xy[:, 16, 0].tolist() == [
        filled(times).window(t, 0.0, 0.5).xy[0, 16, 0]
        for t in [0.8, 0.8, 0.9, 1.0, 1.1] + [1.2] * 6
    ]


def test_a_cut_is_not_lost_with_a_frame_that_is_thinned_out() -> None:
    buffer = cut_at({401}, [i / 240 for i in range(480)])
    assert buffer.num_thinned > 0
    assert (buffer.shot_at(1.6), buffer.shot_at(1.7)) == (0, 1)


def test_a_camera_that_is_too_fast_is_thinned_and_still_fills_a_window() -> None:
    times = [i / 240 for i in range(480)]
    buffer = filled(times)
    assert buffer.num_thinned > 0
    newest = buffer.newest
    assert newest is not None
    window = buffer.window(newest[0], 1.0, 0.5)
    assert len(window) <= MAX_HZ + 2
    assert window.start <= newest[0] - 1.0 + 2 / MAX_HZ


def test_missing_people_leave_gaps_in_the_evidence_not_in_the_window() -> None:
    buffer = ObservationBuffer(SPEC, span_s=1.0, max_gap_s=0.4)
    perceive = ScriptedPerceiver(SPEC, absent=lambda t: t > 0.5)
    for i in range(11):
        buffer.append(perceive(frame_at(i / 10, i)))
    window = buffer.window(1.0, 1.0, 0.5)
    assert window.has_pose.tolist() == [True] * 6 + [False] * 5
    assert np.isnan(window.xyz[-1]).all()


def test_a_pose_of_another_layout_is_refused() -> None:
    buffer = ObservationBuffer(SPEC, span_s=1.0, max_gap_s=0.4)
    other = ScriptedPerceiver(SPEC.__class__(**{**vars(SPEC), "layout": "imigue22"}))
    with pytest.raises(WindowError, match="imigue22"):
        buffer.append(other(frame_at(0.0)))
