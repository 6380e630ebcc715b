"""All 32 classes: hands arrive where the class says, at human speeds, and leave again."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pytest

from tests.train.synth.anatomy import Trunk, bone, forearms, hand_points, mark, speed, turned
from tests.train.synth.performances import END, RATE_HZ, START, Shown, show
from train.labels import ILLUSTRATIVE, MICRO_GESTURES
from train.synth.body import SIDES, Body
from train.synth.gestures.classes import MEAN_S, PERFORMED, draw_length
from train.synth.gestures.touches import TOUCHES
from train.synth.script import idle

SEEDS = (0, 1)
WHERE: Mapping[int, tuple[str, float]] = {
    2: ("hairline left_temple right_temple", 6.0),
    3: ("crown left_crown right_crown back_head", 4.0),
    4: ("forehead left_brow right_brow", 5.0),
    5: ("nose", 6.0),
    6: ("eyes left_eye right_eye", 3.0),
    7: ("nose mouth left_mouth right_mouth left_cheek right_cheek", 3.0),
    8: ("left_ear right_ear", 4.0),
    9: ("mouth", 4.0),
    10: ("chin under_chin left_jaw right_jaw", 4.0),
    11: ("left_neck right_neck left_nape right_nape throat", 4.0),
    12: ("left_temple right_temple left_ear right_ear hairline left_hair right_hair", 7.0),
    13: ("collar left_collar right_collar chest", 5.0),
    14: ("suprasternal", 6.0),
    15: ("left_shoulder right_shoulder lower_back", 7.5),
    17: ("left_chest right_chest belly left_shoulder right_shoulder left_lap right_lap", 5.0),
}
"""Class -> landmarks, and how near a finger tip or a palm comes to one of them, cm: the hat's brim
stands off the head, hair moves away from it, and back and nose are met by more than one point."""


def distance(shown: Shown, label: int) -> np.ndarray:
    """[T] cm from the nearest point of a hand to the nearest landmark of the class."""
    on = "Head" if label <= 10 or label == 12 else "Spine2"
    names = WHERE[label][0].split()
    marks = np.stack([mark(shown.body, shown.bones, name, on) for name in names], 1)
    hands = np.concatenate([hand_points(shown.body, shown.bones, side) for side in SIDES], 1)
    return np.asarray(np.linalg.norm(marks[:, :, None] - hands[:, None], axis=-1).min((1, 2)))


def wrist(shown: Shown, side: str) -> np.ndarray:
    return np.asarray(bone(shown.body, shown.bones, f"{side[0].upper()} Hand"))


def test_every_class_can_be_performed() -> None:
    assert list(PERFORMED) == list(range(len(MICRO_GESTURES)))
    assert set(WHERE) == set(TOUCHES)


@pytest.mark.parametrize("label", sorted(TOUCHES))
def test_a_hand_comes_to_the_place_of_its_class_and_leaves_it(
    people: tuple[Body, ...], label: int
) -> None:
    for body in people:
        for seed in SEEDS:
            shown = show(body, label, seed)
            apart = distance(shown, label)
            assert apart[shown.middle].mean() < WHERE[label][1]
            if label != 17:  # hands that rest lie on the lap, which may be dusted
                assert min(apart[0], apart[-1]) > 25


@pytest.mark.parametrize("label", PERFORMED)
def test_nothing_moves_faster_or_turns_more_abruptly_than_people_do(
    people: tuple[Body, ...], label: int
) -> None:
    for body in people:
        for seed in SEEDS:
            shown = show(body, label, seed)
            for side in SIDES:
                letter = side[0].upper()
                assert speed(wrist(shown, side), RATE_HZ).max() < 4
                assert speed(hand_points(body, shown.bones, side)[:, 5], RATE_HZ).max() < 4.5
                assert speed(bone(body, shown.bones, f"{letter} Forearm"), RATE_HZ).max() < 5.5
                hand = turned(body, shown.bones, f"{letter} Hand")
                step = np.einsum("tij,tij->t", hand[:-1], hand[1:])  # 1 + 2 cos(angle)
                assert np.degrees(np.arccos(np.clip((step - 1) / 2, -1, 1))).max() < 60


@pytest.mark.parametrize("label", PERFORMED)
def test_no_forearm_goes_through_the_trunk(people: tuple[Body, ...], label: int) -> None:
    for body in people:
        trunk = Trunk(body)
        for seed in SEEDS:
            shown = show(body, label, seed)
            arms = forearms(body, shown.bones)
            # The axis of a forearm: on the skin it is 3 cm outside; clothes give way a little.
            assert trunk.depth(shown.bones[::6], arms[::6]) < 3


def hands_meet(shown: Shown) -> None:
    """Classes 22 to 25."""
    left, right = (hand_points(shown.body, shown.bones, s)[shown.middle] for s in SIDES)
    nearest = np.linalg.norm(left[:, :, None] - right[:, None], axis=-1).min((1, 2))
    assert nearest.mean() < 6
    belly = mark(shown.body, shown.bones, "belly", "Spine2")[shown.middle]
    assert (left[..., 2].min(1) > belly[:, 2] - 2).all()


def arms_folded(shown: Shown) -> None:
    """Class 16: each hand beyond the middle, on the other arm."""
    for side, other in (("left", "right"), ("right", "left")):
        palm = hand_points(shown.body, shown.bones, side)[shown.middle, 5]
        elbow = bone(shown.body, shown.bones, f"{other[0].upper()} Forearm")[shown.middle]
        shoulder = bone(shown.body, shown.bones, f"{other[0].upper()} UpperArm")[shown.middle]
        along = np.linspace(0, 1, 8)[:, None, None]
        arm = shoulder + (elbow - shoulder) * along
        assert np.linalg.norm(arm - palm, axis=-1).min(0).mean() < 14


def arms_behind(shown: Shown) -> None:
    """Class 18: both hands meet behind the back."""
    left, right = (hand_points(shown.body, shown.bones, s)[shown.middle, 5] for s in SIDES)
    back = mark(shown.body, shown.bones, "lower_back", "Spine2")[shown.middle]
    assert np.linalg.norm(left - right, axis=1).max() < 12
    assert (np.maximum(left, right)[:, 2] < back[:, 2] + 2).all()


def held_back(shown: Shown) -> None:
    """Class 26: hands behind the hips, each on its own side."""
    left, right = (wrist(shown, s)[shown.middle] for s in SIDES)
    hip = mark(shown.body, shown.bones, "left_hip", "Spine2")[shown.middle]
    assert (np.maximum(left, right)[:, 2] < hip[:, 2] - 8).all()
    assert (left[:, 0] > right[:, 0] + 15).all()


def akimbo(shown: Shown) -> None:
    """Class 29: hands on the hips, elbows far out."""
    for side, sign in (("left", 1), ("right", -1)):
        hip = mark(shown.body, shown.bones, f"{side}_hip", "Spine2")[shown.middle]
        palm = hand_points(shown.body, shown.bones, side)[shown.middle, 5]
        assert np.linalg.norm(palm - hip, axis=1).mean() < 8
        elbow = bone(shown.body, shown.bones, f"{side[0].upper()} Forearm")[shown.middle]
        assert (sign * (elbow - hip)[:, 0] > 8).all()


def arm_touched(shown: Shown) -> None:
    """Class 21: one hand on the other arm."""
    near = []
    for side, other in (("left", "R"), ("right", "L")):
        palm = hand_points(shown.body, shown.bones, side)[shown.middle]
        joints = [
            bone(shown.body, shown.bones, f"{other} {b}")[shown.middle]
            for b in ("UpperArm", "Forearm", "Hand")
        ]
        share = np.linspace(0, 1, 10)[:, None, None]
        arm = np.concatenate([a + (b - a) * share for a, b in pairwise(joints)])
        near.append(np.linalg.norm(arm[:, :, None] - palm, axis=-1).min((0, 2)).mean())
    assert min(near) < 8


TOGETHER: Mapping[int, Callable[[Shown], None]] = {
    16: arms_folded, 18: arms_behind, 21: arm_touched, 22: hands_meet, 23: hands_meet,
    24: hands_meet, 25: hands_meet, 26: held_back, 29: akimbo,
}  # fmt: skip


@pytest.mark.parametrize("label", sorted(TOGETHER))
def test_both_hands_are_where_the_class_has_them(people: tuple[Body, ...], label: int) -> None:
    for body in people:
        for seed in SEEDS:
            TOGETHER[label](show(body, label, seed))


def gained(shown: Shown, name: str, axis: int) -> float:
    """How far the middle lies from the moment before the gesture begins, cm."""
    path = bone(shown.body, shown.bones, name)[:, axis]
    before = path[: round(START * RATE_HZ)].mean()
    return float(path[shown.middle].mean() - before)


def test_head_neck_shoulders_and_trunk_do_what_their_classes_are_called(
    people: tuple[Body, ...],
) -> None:
    for body in people:
        for seed in SEEDS:
            turtle = show(body, 0, seed)
            neck = (
                bone(body, turtle.bones, "Head")[:, 1]
                - bone(body, turtle.bones, "L UpperArm")[:, 1]
            )
            assert neck[turtle.middle].mean() < neck[:6].mean() - 3
            nose = turned(body, show(body, 27, seed).bones, "Head")[..., 2]  # where noses point
            assert nose[show(body, 27, seed).middle, 1].mean() > nose[:6, 1].mean() + 0.2
            breath = show(body, 1, seed).controls
            assert breath.breath.max() > 2
            assert breath.face["cheek_puff"].max() > 0.6
            lips = show(body, 28, seed)
            assert lips.controls.face["lip_roll"][lips.middle].min() > 0.7
            assert lips.controls.face["jaw_open"][lips.middle].max() < 0.05
            shoulders = show(body, 30, seed)
            up = max(np.ptp(bone(body, shoulders.bones, f"{s} UpperArm")[:, 1]) for s in "LR")
            assert up > 2
            torso = bone(body, show(body, 19, seed).bones, "Neck")
            assert np.ptp(torso, axis=0).max() > 4
            assert gained(show(body, 20, seed), "Head", 1) > 1


def test_lively_conversation_moves_hands_without_touching_anything(man: Body) -> None:
    for seed in SEEDS:
        shown = show(man, ILLUSTRATIVE, seed)
        travelled = max(float(speed(wrist(shown, s), RATE_HZ).sum() / RATE_HZ) for s in SIDES)
        assert travelled > 0.4
        head = bone(man, shown.bones, "Head")
        tips = np.concatenate([hand_points(man, shown.bones, s) for s in SIDES], 1)
        assert np.linalg.norm(tips - head[:, None], axis=-1).min() > 15


def test_either_hand_does_it(man: Body) -> None:
    used = set()
    for seed in range(8):
        shown = show(man, 8, seed)
        travel = [float(speed(wrist(shown, side), RATE_HZ).sum()) for side in SIDES]
        used.add(SIDES[int(np.argmax(travel))])
    assert used == set(SIDES)


def test_gestures_have_onset_hold_or_oscillation_and_release(man: Body) -> None:
    beats = 0
    for label in (4, 6, 8, 17):
        for seed in range(3):
            shown = show(man, label, seed)
            side = max(SIDES, key=lambda s: float(np.ptp(wrist(shown, s), axis=0).max()))
            v = speed(hand_points(man, shown.bones, side)[:, 5], RATE_HZ)
            first, last = round(START * RATE_HZ), round(END * RATE_HZ)
            onset, release = v[first : first + 24].max(), v[last - 27 : last].max()
            # Strokes of at most 5 cm at 5 Hz are slower than the reaches around them.
            assert min(onset, release) > 0.5
            held = v[shown.middle]
            beats += held.mean() > 0.05
            assert held.max() < 1.6
            path = wrist(shown, side)
            apex = path[shown.middle].mean(0)
            left = np.linalg.norm(path[-1] - path[0])
            assert left < 0.5 * np.linalg.norm(apex - path[0]), "it goes back to where it was"
    assert 2 <= beats <= 12


def test_durations_are_those_of_the_data_set() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([draw_length(rng) for _ in range(4000)])
    assert abs(lengths.mean() - MEAN_S) < 0.1
    assert lengths.min() >= 1
    assert lengths.max() <= 6.5
    assert lengths.std() > 0.8


def test_one_seed_moves_alike_and_another_differs(man: Body) -> None:
    t = np.arange(0, 3, 0.1)
    a, b, c = (idle(np.random.default_rng(s), man, t, 0) for s in (5, 5, 6))
    np.testing.assert_array_equal(a.hands["left"].place, b.hands["left"].place)
    np.testing.assert_array_equal(a.face["jaw_open"], b.face["jaw_open"])
    assert np.abs(a.head - c.head).max() > 0.01
