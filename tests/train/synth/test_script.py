"""Scripts: truth as performed; what never stops underneath; emotions beside gestures."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.train.synth.anatomy import Trunk, bone, forearms
from train.labels import EMOTIONS, ILLUSTRATIVE
from train.synth.body import Body
from train.synth.controls import FACE, Controls
from train.synth.faces import NEGATIVE, POSITIVE
from train.synth.gestures.classes import perform
from train.synth.life import smooth_step
from train.synth.rig import pose
from train.synth.script import (
    PLAIN,
    RESTLESS,
    draw_labels,
    idle,
    plan,
    portrait,
    trimmed,
    untrimmed,
)

MINUTE = np.arange(0, 60, 1 / 15)


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_of_a_long_take_lies_inside_it_and_gestures_do_not_overlap(
    man: Body, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = draw_labels(rng, 40).tolist()
    truth, _ = plan(rng, man, MINUTE, None, labels)
    assert len(truth) >= 8
    assert truth[0].start > MINUTE[0]
    assert truth[-1].end <= MINUTE[-1]
    for before, after in pairwise(truth):
        assert before.start < before.end <= after.start + 1e-9
    gestures = [k.label for k in truth if k.label != ILLUSTRATIVE]
    assert gestures == labels[: len(gestures)]
    assert any(k.label == ILLUSTRATIVE for k in truth), "lively speech is labelled, too"


def test_a_trimmed_clip_is_filled_by_its_gesture(man: Body) -> None:
    t = np.arange(0, 2.5, 1 / 15)
    performance = trimmed(np.random.default_rng(0), man, t, POSITIVE, 8)
    (only,) = performance.truth
    assert only.label == 8
    assert 0 <= only.start < 0.25
    assert t[-1] - 0.25 < only.end <= t[-1]
    assert performance.bones.shape == (len(t), len(man.parents), 4, 4)
    assert performance.emotion == POSITIVE


def test_one_seed_makes_one_take_and_another_seed_another(man: Body) -> None:
    t = np.arange(0, 8, 0.1)
    a, b, c = (
        untrimmed(np.random.default_rng(seed), man, t, NEGATIVE, (3, 17, 22)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.bones, b.bones)
    assert a.truth == b.truth
    assert a.truth != c.truth
    assert np.abs(a.bones - c.bones).max() > 1


def test_movement_does_not_depend_on_the_frame_rate(man: Body) -> None:
    slow, fast = (
        idle(np.random.default_rng(7), man, np.linspace(0, 10, n), None) for n in (101, 301)
    )
    for name in ("head", "breath", "sway", "gaze"):
        np.testing.assert_allclose(getattr(slow, name), getattr(fast, name)[::3], atol=1e-3)


def test_while_one_hand_is_at_the_head_the_other_may_be_up_before_the_trunk(man: Body) -> None:
    t, trunk, hip = np.arange(0, 30, 0.1), Trunk(man), man.at("L Thigh")[1]
    heights: dict[float, list[float]] = {0.0: [], 1.0: []}
    for seed in range(4):
        for raised, found in heights.items():
            rng = np.random.default_rng(seed)
            take = untrimmed(
                rng, man, t, None, [8, 9, 10, 14] * 3, manner=replace(PLAIN, raised=raised)
            )
            middles = [(k.start + k.end) / 2 for k in take.truth if k.label in (8, 9, 10)]
            at = np.searchsorted(t, middles)
            wrists = [bone(man, take.bones[at], f"{letter} Hand")[:, 1] for letter in "LR"]
            found += np.minimum(*wrists).tolist()
            arms = forearms(man, take.bones)
            assert trunk.depth(take.bones[::6], arms[::6]) < 4
    assert min(heights[1.0]) > hip + 5
    assert np.mean(heights[1.0]) > np.mean(heights[0.0]) + 15


def test_heads_turn_far_and_nod_but_not_while_a_gesture_needs_them_still(man: Body) -> None:
    t, farthest = np.arange(0, 120, 0.1), []
    for seed in range(3):
        manners = PLAIN, replace(RESTLESS, raised=0.0)
        plans = [
            plan(np.random.default_rng(seed), man, t, None, [3, 16, 28, 22] * 10, manner=manner)
            for manner in manners
        ]
        (truth, plain), (same, restless) = plans
        assert truth == same
        farthest.append(np.abs(restless.head[:, 1]).max())
        moved = np.abs(restless.head - plain.head).max(axis=1)
        still = np.zeros(len(t), bool)
        for k in truth:
            still |= (k.label in (3, 28)) & (t >= k.start) & (t <= k.end)
        assert moved[still].max() < 1e-6
        assert 0.15 < (moved[~still] > 0.1).mean() < 0.7
        np.testing.assert_array_equal(restless.hands["left"].place, plain.hands["left"].place)
    assert min(farthest) > 0.7
    assert max(farthest) <= 1.15


def test_every_class_is_drawn_as_often_as_the_others() -> None:
    labels = draw_labels(np.random.default_rng(0), 62)
    assert sorted(labels) == sorted([*range(ILLUSTRATIVE)] * 2)


def test_people_breathe_blink_and_sway_always_and_talk_often(man: Body) -> None:
    talkers = 0
    for seed in range(5):
        c = idle(np.random.default_rng(seed), man, MINUTE, None)
        up = c.breath - c.breath.mean()
        breaths = int(((up[:-1] < 0) & (up[1:] >= 0)).sum())
        assert 8 <= breaths <= 26
        shut = c.face["lid_close"] > 0.8
        blinks = int((shut[1:] & ~shut[:-1]).sum())
        assert 5 <= blinks <= 45
        assert shut.mean() < 0.25
        assert c.sway[:, 0].std() > 0.1
        assert c.head[:, 1].std() > 0.01
        talkers += c.face["jaw_open"].max() > 0.2
    assert 2 <= talkers <= 5


def face(body: Body, emotion: int | None, seed: int) -> Controls:
    return idle(np.random.default_rng(seed), body, np.arange(0, 6, 0.1), emotion)


@pytest.mark.parametrize("seed", range(6))
def test_emotions_show_in_faces_and_in_between_shows_little(man: Body, seed: int) -> None:
    happy, sad, plain = (face(man, e, seed).face for e in (POSITIVE, NEGATIVE, None))
    assert happy["smile"].mean() > sad["smile"].mean() + 0.25
    gloom = ("frown", "brow_lower", "brow_inner", "nose_wrinkle", "lip_press")
    assert sum(sad[k].mean() for k in gloom) > sum(happy[k].mean() for k in gloom) + 0.25
    assert max(plain["smile"].mean(), plain["frown"].mean()) < 0.25


def test_neither_raised_brows_nor_lips_apart_tell_an_emotion(man: Body) -> None:
    t = np.arange(0, 6, 0.5)
    for emotion in (POSITIVE, NEGATIVE, None):
        seen = [idle(np.random.default_rng(k), man, t, emotion).face for k in range(60)]
        raised = [face["brow_raise"].min() > 0 for face in seen]
        apart = [face["lips_part"].min() > 0 for face in seen]
        assert 0.2 < np.mean(raised) < 0.6
        assert np.mean(apart) > 0.1


def test_lips_that_part_lay_the_teeth_bare(man: Body) -> None:
    def gap(amount: float) -> float:
        c = face(man, None, 0)
        for name in FACE:
            c.face[name][:] = 0
        c.face["lips_part"][:] = amount
        bones, _ = pose(man, c)
        apart = bone(man, bones, "MUpperLip") - bone(man, bones, "MBottomLip")
        return float(np.linalg.norm(apart, axis=-1).mean())

    assert gap(1.0) > gap(0.0) + 0.5


def test_emotion_indices_are_those_of_the_labels() -> None:
    assert (EMOTIONS[POSITIVE], EMOTIONS[NEGATIVE]) == ("positive", "negative")


def test_emotion_and_gesture_do_not_tell_each_other(man: Body) -> None:
    t = np.arange(0, 3, 0.1)
    tracks = []
    for emotion in (POSITIVE, NEGATIVE):
        rng = np.random.default_rng(3)
        c = idle(rng, man, t, emotion)
        smile = c.face["smile"].copy()
        perform(np.random.default_rng(9), c, man, 17, 0.2, 2.8)
        np.testing.assert_array_equal(c.face["smile"], smile)
        tracks.append(c.hands["left"].place[15:20].mean(0))
    assert np.linalg.norm(tracks[0] - tracks[1]) < 40


def corner(body: Body, emotion: int) -> np.ndarray:
    """Where a corner of the mouth lies from the nose, in the axes of the head; float32 [3] cm."""
    bones, _ = pose(body, face(body, emotion, 2))
    apart = bone(body, bones, "LMouthCorner") - bone(body, bones, "MNose")
    k = body.bone("Head")
    head = bones[:, k, :3, :3] @ body.rest[k, :3, :3].T
    return np.asarray(np.einsum("tji,tj->ti", head, apart).mean(0))


def test_without_blend_shapes_bones_move_the_mouth_up_or_down(man: Body) -> None:
    assert corner(man, POSITIVE)[1] > corner(man, NEGATIVE)[1] + 0.4


def test_with_blend_shapes_they_move_the_face_and_bones_do_not(mime: Body) -> None:
    _, happy = pose(mime, face(mime, POSITIVE, 2))
    _, sad = pose(mime, face(mime, NEGATIVE, 2))
    names = mime.avatar.morph_names
    smile, frown = (names.index(n) for n in ("AK_44_MouthSmileLeft", "AK_30_MouthFrownLeft"))
    assert happy.shape == (60, 175)
    assert happy[:, smile].mean() > sad[:, smile].mean() + 0.2
    assert sad[:, frown].mean() > happy[:, frown].mean() + 0.2
    np.testing.assert_allclose(corner(mime, POSITIVE), corner(mime, NEGATIVE), atol=0.02)


def test_every_channel_of_the_face_moves_some_bone(man: Body) -> None:
    c = face(man, None, 0)
    for name in FACE:
        c.face[name][:] = 0
    still, _ = pose(man, c)
    for name in FACE:
        c.face[name][:] = 1
        moved, _ = pose(man, c)
        assert np.abs(moved - still).max() > 0.05, name
        c.face[name][:] = 0


def test_steps_begin_and_end_at_rest() -> None:
    x = smooth_step(np.linspace(-1, 2, 301))
    assert (x[0], x[100], x[150], x[200], x[-1]) == (0, 0, 0.5, 1, 1)
    assert (np.diff(x) >= 0).all()
    assert np.diff(x)[100] < 1e-5


def test_a_portrait_is_a_mood_without_a_gesture(man: Body) -> None:
    t = np.arange(6) / 15
    faces = {}
    for emotion in (0, 1):
        performance = portrait(np.random.default_rng(3), man, t, emotion)
        assert performance.truth == ()
        assert performance.emotion == emotion
        assert len(performance.bones) == len(t)
        faces[emotion] = performance.bones[:, man.bone("LMouthCorner")]
    assert np.abs(faces[0] - faces[1]).max() > 0.1
