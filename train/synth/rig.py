"""Rig: controls -> bones, for all T frames at once.

Every bone's movement is a rotation D (a lip's may squeeze) in world axes away from the A-pose, so
no bone's own axes matter: `position = parent's position + parent's D @ offset in the A-pose`,
`D = parent's D @ own`. Arms are placed by two-bone inverse kinematics; half of the hand's roll goes
to the forearm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from train.synth.body import SIDES, Body, HandShape
from train.synth.controls import Controls, HandTrack
from train.synth.faces import movements
from train.synth.rotations import Floats, about, frame, mix, nod_turn_tilt, turn, unit

X, Y, Z = np.eye(3, dtype=np.float32)
_WRIST_BEND = np.float32(1.2)
"""rad: hands bend no further against the forearm."""
_TIGHTEST = np.cos(0.5)
"""Of the angle between upper arm and forearm of a bent elbow."""
_CURLS = (0.9, 1.15, 0.8)
"""Of the three joints of a finger that is curled by 1 rad on average."""
_LONGEST_CURL = 1.45
"""rad: mean bend of the joints of a fist."""
FINGER_TIPS = (0.75, 0.95, 0.8, 0.9, 1.1)
"""Where the skin of each finger ends beyond its last joint, in lengths of the phalanx before."""
_AHEAD = np.array([-0.37, -0.06, 0.93], np.float32)
_ELBOW_DOWN = np.array([0.34, -0.94, 0.08], np.float32)
"""Where the elbow hangs while the left hand is there; orthogonal to within a hundredth."""
_SETTLING = 3
"""Rounds until a hand whose wrist cannot bend further touches its place all the same."""


@dataclass(eq=False)
class _Pose:
    """What is known so far: rotations away from the A-pose and positions of bones."""

    body: Body
    count: int
    own: dict[int, Floats] = field(default_factory=dict)
    """Bone -> [T, 3, 3]: rotation beside its parent's."""
    shift: dict[int, Floats] = field(default_factory=dict)
    """Bone -> [T, 3] cm: displacement in its parent's frame."""
    turned: dict[int, Floats] = field(default_factory=dict)
    placed: dict[int, Floats] = field(default_factory=dict)

    def solve(self, bone: int) -> tuple[Floats, Floats]:
        """D [T, 3, 3] and position [T, 3] of a bone; its ancestors' too."""
        if bone in self.turned:
            return self.turned[bone], self.placed[bone]
        parent, rest = int(self.body.parents[bone]), self.body.rest[:, :3, 3]
        if parent < 0:
            rotation = np.tile(np.eye(3, dtype=np.float32), (self.count, 1, 1))
            position = np.tile(rest[bone], (self.count, 1))
        else:
            rotation, position = self.solve(parent)
            offset = rest[bone] - rest[parent]
            if bone in self.shift:
                position = position + turn(rotation, offset + self.shift[bone])
            else:
                position = position + rotation @ offset
        if bone in self.own:
            rotation = rotation @ self.own[bone]
        self.turned[bone], self.placed[bone] = rotation, position
        return rotation, position

    def carry(self, bone: int, place: Floats) -> Floats:
        """Points [T, 3] of the A-pose, moved along with a bone."""
        rotation, position = self.solve(bone)
        return position + turn(rotation, place - self.body.rest[bone, :3, 3])


def pose(body: Body, controls: Controls) -> tuple[Floats, Floats]:
    """Bones and blend shapes of a person.

    Returns:
        float32 [T, B, 4, 4] world matrices, cm; float32 [T, K] weights.
    """
    solved = _solve(body, controls)
    shifts, rotations, morphs = movements(body, controls)
    solved.shift.update(shifts)
    solved.own.update(rotations)
    count = len(body.parents)
    bones = np.zeros((len(controls), count, 4, 4), np.float32)
    bones[..., 3, 3] = 1.0
    for bone in range(count):
        rotation, position = solved.solve(bone)
        bones[:, bone, :3, :3] = rotation @ body.rest[bone, :3, :3]
        bones[:, bone, :3, 3] = position
    return bones, morphs


def joints(body: Body, controls: Controls, names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Only the named bones, which is much faster: D [T, n, 3, 3] and positions [T, n, 3] cm."""
    solved = _solve(body, controls)
    pairs = [solved.solve(body.bone(name)) for name in names]
    return np.stack([d for d, _ in pairs], 1), np.stack([p for _, p in pairs], 1)


def _solve(body: Body, controls: Controls) -> _Pose:
    solved = _Pose(body, len(controls))
    _trunk(solved, controls)
    for side in SIDES:
        _arm(solved, controls, side)
    return solved


def _trunk(solved: _Pose, c: Controls) -> None:
    body = solved.body
    pelvis, *spine = (body.bone(b) for b in ("Pelvis", "Spine", "Spine1", "Spine2"))
    solved.shift[pelvis] = c.sway
    for bone, share, straight in zip(spine, (0.4, 0.3, 0.3), (0.0, 0.4, 0.6), strict=True):
        nod = c.lean[:, 0] * share - c.chest * straight - 0.012 * c.breath * (bone == spine[2])
        solved.own[bone] = nod_turn_tilt(nod, c.lean[:, 1] * share, c.lean[:, 2] * share)
    neck, head = body.bone("Neck"), body.bone("Head")
    solved.own[neck] = nod_turn_tilt(*(c.head * 0.4).T)
    solved.own[head] = nod_turn_tilt(*(c.head * 0.6).T)
    solved.shift[neck] = c.neck_forward[:, None] * (0.4 * Z) - c.neck_in[:, None] * (0.5 * Y)
    solved.shift[head] = c.neck_forward[:, None] * (0.6 * Z) - c.neck_in[:, None] * (0.5 * Y)
    for k, letter in enumerate("LR"):
        raised = c.shrug[:, k] + 0.5 * c.breath + 0.5 * c.neck_in
        solved.shift[body.bone(f"{letter} Clavicle")] = raised[:, None] * (0.4 * Y)
        angle = raised / 22.0 * (1.0 if letter == "L" else -1.0)
        solved.own[body.bone(f"{letter} Clavicle")] = about(Z, angle)
        eye = body.bone(f"{letter}Eye")
        solved.own[eye] = nod_turn_tilt(c.gaze[:, 1], c.gaze[:, 0], np.zeros_like(c.breath))
        if c.is_seated:
            bend = np.full(len(c), -1.45, np.float32)
            solved.own[body.bone(f"{letter} Thigh")] = about(X, bend)
            solved.own[body.bone(f"{letter} Calf")] = about(X, -bend)


def _arm(solved: _Pose, c: Controls, side: str) -> None:
    body, track = solved.body, c.hands[side]
    letter, sign = side[0].upper(), np.float32(1.0 if side == "left" else -1.0)
    upper, fore, hand = (body.bone(f"{letter} {b}") for b in ("UpperArm", "Forearm", "Hand"))
    _lift_clavicle(solved, track, letter)
    contact, fingers, palm = _wanted(solved, track)
    rest, shape = body.rest[:, :3, 3], _hand_frame(body.hands[side]).T
    parent_d, shoulder = solved.solve(upper)
    reach = tuple(
        float(np.linalg.norm(v)) for v in (rest[fore] - rest[upper], rest[hand] - rest[fore])
    )
    chest_d, _ = solved.solve(body.bone("Spine2"))
    mirror = np.array([sign, 1, 1], np.float32)
    ahead, down = turn(chest_d, mirror * _AHEAD), turn(chest_d, mirror * _ELBOW_DOWN)
    hand_d, offset = frame(fingers, palm) @ shape, contact_offset(body, side, track)
    for _ in range(_SETTLING):  # a bent wrist moves the contact point, so the arm follows
        wrist = contact - turn(hand_d, offset)
        pole = _swivelled(unit(wrist - shoulder), ahead, down, sign * track.elbow)
        elbow, wrist, hinge = _two_bones(shoulder, wrist, reach, pole)
        hand_d = _bounded(fingers, palm, wrist - elbow) @ shape
    u0, f0 = rest[fore] - rest[upper], rest[hand] - rest[fore]
    hinge0 = np.cross(u0, Z)
    upper_d = frame(elbow - shoulder, hinge) @ frame(u0, hinge0).T
    fore_d = frame(wrist - elbow, hinge) @ frame(f0, hinge0).T
    fore_d = _rolled(fore_d, hand_d, unit(wrist - elbow), f0)
    solved.own[upper] = np.swapaxes(parent_d, 1, 2) @ upper_d
    solved.own[fore] = np.swapaxes(upper_d, 1, 2) @ fore_d
    solved.own[hand] = np.swapaxes(fore_d, 1, 2) @ hand_d
    for bone in (upper, fore, hand):
        solved.turned.pop(bone, None)
        solved.placed.pop(bone, None)
    for bone, rotation in finger_rotations(body, side, track).items():
        solved.own[bone] = rotation


def _lift_clavicle(solved: _Pose, track: HandTrack, letter: str) -> None:
    """A hand above the shoulder takes the shoulder along."""
    body = solved.body
    clavicle, shoulder = body.bone(f"{letter} Clavicle"), body.at(f"{letter} UpperArm")
    above = np.clip((track.place[:, 1] - shoulder[1]) / 40.0, 0.0, 1.0)
    angle = 0.22 * above * (1.0 if letter == "L" else -1.0)
    solved.own[clavicle] = solved.own[clavicle] @ about(Z, angle.astype(np.float32))


def _wanted(solved: _Pose, track: HandTrack) -> tuple[Floats, Floats, Floats]:
    """Contact point, direction of the fingers and of the palm, [T, 3] in the world."""
    body = solved.body
    head, chest = body.bone("Head"), body.bone("Spine2")
    head_d, chest_d = solved.solve(head)[0], solved.solve(chest)[0]
    still = np.broadcast_to(np.eye(3, dtype=np.float32), head_d.shape)
    d = mix(mix(chest_d, head_d, track.on_head), still, track.on_world)
    fingers, palm = turn(d, track.fingers), turn(d, track.palm)
    on_head, on_world = track.on_head[:, None], track.on_world[:, None]
    place = solved.carry(chest, track.place) * (1 - on_head)
    place = place + solved.carry(head, track.place) * on_head
    place = place * (1 - on_world) + track.place * on_world
    return place.astype(np.float32), fingers, palm


def _hand_frame(shape: HandShape) -> Floats:
    return frame(shape.fingers, shape.palm)


def contact_offset(body: Body, side: str, track: HandTrack) -> Floats:
    """From the wrist to the contact point, [T, 3] cm in the A-pose's axes."""
    letter, shape = side[0].upper(), body.hands[side]
    wrist = body.at(f"{letter} Hand")
    palm = (body.at(f"{letter} Finger2") - wrist) * 0.7 + shape.palm * 2.0
    rotation = np.tile(np.eye(3, dtype=np.float32), (len(track.tip), 1, 1))
    chain = [body.bone(f"{letter} Finger2{k}") for k in ("", "1", "2")]
    own = finger_rotations(body, side, track)
    tip = np.tile(body.rest[chain[0], :3, 3] - wrist, (len(track.tip), 1)).astype(np.float32)
    for bone, following in zip(chain, [*chain[1:], None], strict=True):
        rotation = rotation @ own[bone]
        start = body.rest[bone, :3, 3]
        if following is None:
            step = (start - body.rest[chain[1], :3, 3]) * np.float32(FINGER_TIPS[2])
        else:
            step = body.rest[following, :3, 3] - start
        tip = tip + rotation @ step
    share = track.tip[:, None]
    near = np.clip(share * 2, 0, 1) * palm
    return np.asarray(near + np.clip(share * 2 - 1, 0, 1) * (tip - palm), np.float32)


def finger_rotations(body: Body, side: str, track: HandTrack) -> dict[int, Floats]:
    """Bone -> [T, 3, 3], beside its parent's rotation, for the fifteen finger bones."""
    letter, shape = side[0].upper(), body.hands[side]
    sign = 1.0 if side == "left" else -1.0
    out: dict[int, Floats] = {}
    for finger in range(5):
        axis = unit(np.cross(shape.fingers, shape.palm))
        bend = track.curl[:, finger] * np.float32(_LONGEST_CURL)
        gains = _CURLS
        if finger == 0:  # the thumb folds across the palm, and less
            axis, gains = unit(axis * 0.4 + shape.fingers * sign * 0.9), (0.35, 0.5, 0.7)
        for k, gain in enumerate(gains):
            bone = body.bone(f"{letter} Finger{finger}{k or ''}")
            rotation = about(axis, bend * np.float32(gain))
            if k == 0 and finger:
                apart = track.spread * np.float32((finger - 2.0) * -0.16 * sign)
                rotation = about(shape.palm, apart) @ rotation
            out[bone] = rotation
    return out


def _swivelled(line: Floats, ahead: Floats, down: Floats, angle: Floats) -> Floats:
    """The direction, across the line shoulder -> wrist, to which the elbow points.

    `down` is carried from `ahead` to the line by the shortest rotation: smooth everywhere but
    straight backwards, where no hand goes. One fixed direction would flip for hands on the head.
    """
    tilted = (line * down).sum(-1) / np.maximum(1 + (line * ahead).sum(-1), 1e-3)
    return turn(about(line, -angle), unit(down - tilted[:, None] * (ahead + line)))


def _two_bones(
    shoulder: Floats, wrist: Floats, reach: Sequence[float], pole: Floats
) -> tuple[Floats, Floats, Floats]:
    """Elbow, reachable wrist and hinge axis [T, 3] by the law of cosines."""
    a, b = reach
    line = wrist - shoulder
    length = np.linalg.norm(line, axis=1)
    line = unit(line)
    length = np.clip(length, np.sqrt(a * a + b * b - 2 * a * b * _TIGHTEST), (a + b) * 0.995)
    cosine = (a * a + length**2 - b * b) / (2 * a * length)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    elbow = shoulder + line * (a * cosine)[:, None] + pole * (a * sine)[:, None]
    hinge = np.cross(pole, line)
    reached = shoulder + line * length[:, None]
    return elbow.astype(np.float32), reached.astype(np.float32), hinge.astype(np.float32)


def _bounded(fingers: Floats, palm: Floats, forearm: Floats) -> Floats:
    """The wanted hand frame [T, 3, 3], bent against the forearm no further than wrists go."""
    line = unit(forearm)
    bend = np.arccos(np.clip((unit(fingers) * line).sum(-1), -1, 1))
    back = np.maximum(bend - _WRIST_BEND, 0).astype(np.float32)
    return np.asarray(about(unit(np.cross(fingers, line)), back) @ frame(fingers, palm))


def _rolled(fore_d: Floats, hand_d: Floats, line: Floats, rest_line: Floats) -> Floats:
    """The forearm turned about itself by three quarters of the hand's roll against it."""
    across = np.cross(rest_line, Z).astype(np.float32)
    a, b = turn(fore_d, unit(across)), turn(hand_d, unit(across))
    b = unit(b - (b * line).sum(-1, keepdims=True) * line)
    angle = np.unwrap(np.arctan2((np.cross(a, b) * line).sum(-1), (a * b).sum(-1)))
    return about(line, (0.75 * angle).astype(np.float32)) @ fore_d
