"""Rendered pictures show the person where the bones are."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from engines.skeleton import MEDIAPIPE33
from tests.train.synth.conftest import SIZE
from tests.train.synth.performances import show
from train.synth import render
from train.synth.avatar import Avatar
from train.synth.body import Body, skin_matrices
from train.synth.controls import still
from train.synth.keypoints import carry, finger_places, mediapipe_places
from train.synth.render import Renderer
from train.synth.rig import pose
from train.synth.scene import Scene, disguised, draw_camera, draw_scene

GREEN = np.full((*SIZE, 3), (0, 255, 0), np.uint8)
NO_SHAPES = np.zeros(0, np.float32)
JOINTS = MEDIAPIPE33.indices([
    "nose", *(f"{side}_{name}" for side in ("left", "right")
              for name in ("eye", "shoulder", "elbow", "wrist")),
])  # fmt: skip


def scene(body: Body, seed: int = 3) -> Scene:
    return draw_scene(np.random.default_rng(seed), body)


def is_person(picture: np.ndarray) -> np.ndarray:
    return np.asarray((picture != GREEN).any(-1))


def test_every_keypoint_of_the_body_lies_on_the_person(
    renderer: Renderer, people: tuple[Body, ...]
) -> None:
    for body in people:
        renderer.show(body.avatar)
        for seed in range(3):
            place = scene(body, seed)
            bones = show(body, 22, seed).bones[40:41]
            picture = renderer.draw(skin_matrices(body, bones[0]), NO_SHAPES, place, GREEN)
            person = is_person(picture)
            assert 0.1 < person.mean() < 0.9
            joints = [mediapipe_places(body)[k] for k in JOINTS]
            fingers = (*finger_places(body, "left"), *finger_places(body, "right"))
            xy = place.camera.project(carry(body, bones, (*joints, *fingers))[0], SIZE)
            seen = xy[((xy >= 0) & (xy < SIZE[::-1])).all(-1)].astype(int)
            assert len(seen) > 20
            assert person[seen[:, 1], seen[:, 0]].mean() > 0.9


def test_a_picture_follows_the_arm_and_is_the_same_twice(renderer: Renderer, man: Body) -> None:
    renderer.show(man.avatar)
    bones, place = show(man, 3, 0).bones, scene(man)
    rest, again, up = (
        renderer.draw(skin_matrices(man, bones[k]), NO_SHAPES, place, GREEN) for k in (0, 0, 45)
    )
    np.testing.assert_array_equal(rest, again)
    changed = (rest != up).any(-1)
    wrists = [mediapipe_places(man)[k] for k in MEDIAPIPE33.indices(("left_wrist", "right_wrist"))]
    points = carry(man, bones[[0, 45]], wrists)
    k = np.linalg.norm(points[1] - points[0], axis=1).argmax()
    assert changed.mean() > 0.01
    xy = place.camera.project(points[1, k], SIZE).astype(int)
    around = changed[max(xy[1] - 12, 0) : xy[1] + 12, max(xy[0] - 12, 0) : xy[0] + 12]
    assert around.mean() > 0.2


def test_blend_shapes_change_the_face_and_nothing_else(renderer: Renderer, mime: Body) -> None:
    renderer.show(mime.avatar)
    bones, _ = pose(mime, still(np.zeros(1), mime, is_seated=True))
    place, shapes = scene(mime), np.zeros(175, np.float32)
    skin = skin_matrices(mime, bones[0])
    before = renderer.draw(skin, shapes, place, GREEN)
    shapes[mime.avatar.morph_names.index("AK_25_JawOpen")] = 1
    opened = renderer.draw(skin, shapes, place, GREEN)
    changed = np.argwhere((before != opened).any(-1))
    assert len(changed) > 20
    mouth = place.camera.project(mime.landmarks["mouth"].point, SIZE)[::-1]
    chin = place.camera.project(mime.landmarks["chin"].point, SIZE)[::-1]
    reach = 4 * np.linalg.norm(mouth - chin)
    assert np.linalg.norm(changed - mouth, axis=1).max() < reach
    shapes[:] = 0
    np.testing.assert_array_equal(renderer.draw(skin, shapes, place, GREEN), before)


def test_light_clothes_background_and_camera_show(renderer: Renderer, man: Body) -> None:
    renderer.show(man.avatar)
    bones = skin_matrices(man, show(man, 20, 0).bones[0])
    place = scene(man)
    first = renderer.draw(bones, NO_SHAPES, place, GREEN)
    dark = replace(place, key_colour=place.key_colour * np.float32(0.2))
    assert renderer.draw(bones, NO_SHAPES, dark, GREEN)[is_person(first)].mean() < (
        first[is_person(first)].mean() - 5
    )
    dyed = replace(place, clothes=np.diag([1.0, 0.3, 0.3]).astype(np.float32))
    red = renderer.draw(bones, NO_SHAPES, dyed, GREEN).astype(float).mean((0, 1))
    assert red[2] < first.astype(float).mean((0, 1))[2] - 3
    moved = replace(place, camera=draw_camera(np.random.default_rng(99), man))
    assert (is_person(renderer.draw(bones, NO_SHAPES, moved, GREEN)) != is_person(first)).any()
    blue = renderer.draw(bones, NO_SHAPES, place, GREEN[..., [0, 2, 1]])
    np.testing.assert_array_equal(blue[0, 0], [0, 0, 255])
    apart = (blue == first).all(-1) != is_person(first)  # edges mix both
    assert apart.mean() < 0.03
    assert (blue == first).all(-1).mean() > 0.1


def test_cameras_show_heads_and_hands_from_many_places(man: Body) -> None:
    eyes, lenses = [], set()
    for seed in range(40):
        camera = draw_camera(np.random.default_rng(seed), man)
        x, y = camera.project(man.landmarks["nose"].point, (360, 640))
        assert 0 < x < 640
        assert 0 < y < 360
        eyes.append(camera.eye)
        lenses.add(round(camera.field_of_view, 3))
    assert len(lenses) > 30
    assert np.ptp(eyes, axis=0).min() > 30


def test_whoever_was_forgotten_looks_as_before(
    man: Body, woman: Body, mime: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_KEPT", 2)
    other = replace(man.avatar)  # somebody else with the man's pictures
    with Renderer(SIZE) as few:

        def seen(body: Body, avatar: Avatar) -> np.ndarray:
            few.show(avatar)
            return few.draw(skin_matrices(body, body.rest), NO_SHAPES, scene(man), GREEN)

        first = seen(man, man.avatar)
        np.testing.assert_array_equal(seen(man, other), first)
        seen(woman, woman.avatar)  # the man is forgotten, his pictures are still needed
        np.testing.assert_array_equal(seen(man, other), first)
        seen(mime, mime.avatar)
        seen(woman, woman.avatar)
        np.testing.assert_array_equal(seen(man, man.avatar), first)


def test_without_egl_it_is_said_what_to_install() -> None:
    code = "from train.synth.render import Renderer; Renderer((96, 96))"
    hidden = {"__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent", "__EGL_VENDOR_LIBRARY_FILENAMES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | hidden, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "RuntimeUnavailable: rendering needs OpenGL through EGL" in last
    assert "libegl1" in last


def test_looks_change_what_they_are_meant_to(renderer: Renderer, man: Body) -> None:
    """His polo shirt leaves the arms bare."""
    renderer.show(man.avatar)
    place = scene(man)
    bones = skin_matrices(man, man.rest)
    first = renderer.draw(bones, NO_SHAPES, place, GREEN)

    def changed(**looks: object) -> np.ndarray:
        other = renderer.draw(bones, NO_SHAPES, replace(place, **looks), GREEN)  # type: ignore[arg-type]
        return np.asarray(abs(other.astype(int) - first).max(-1) > 8)

    def at(bone: str) -> tuple[int, int]:
        x, y = place.camera.project(man.rest[man.bone(bone), :3, 3], SIZE).astype(int)
        return int(y), int(x)

    person = is_person(first)
    dark = changed(skin=np.full(3, 0.3, np.float32))
    striped = changed(pattern=np.array([60, 0, 0.5], np.float32))
    assert dark[at("Head")]
    assert dark[at("L Forearm")]
    assert not dark[at("Spine1")]
    assert striped[at("Spine1")[0] - 10 :, at("Spine1")[1] - 20 : at("Spine1")[1] + 20].any()
    assert not striped[: at("Neck")[0] - 8].any()
    assert not (dark | striped)[~person].any()
    brow = place.camera.project(man.landmarks["eyes"].point, SIZE)[1] - 2
    hair = np.argwhere(changed(hair_cm=5.0) & ~person)
    assert len(hair) > 10
    assert hair[:, 0].max() < brow + 3
    bulk = np.argwhere(changed(bulk_cm=1.5) & ~person)
    assert bulk[:, 0].min() > at("Head")[0]
    assert len(bulk) > 50


def test_disguises_are_of_many_colours_and_keep_the_view(man: Body) -> None:
    place, rng = scene(man), np.random.default_rng(2)
    drawn = [disguised(rng, place) for _ in range(200)]
    assert 0.15 < np.mean([other is place for other in drawn]) < 0.35
    for other in drawn:
        assert other.camera is place.camera
        assert (other.skin > 0).all()
    tones = np.array([other.skin for other in drawn])
    assert tones[:, 0].min() < 0.35
    assert tones[:, 0].max() > 1.0
    assert (tones[:, 2] <= tones[:, 0] + 0.2).all()
    assert {bool(other.pattern[2]) for other in drawn} == {True, False}
    assert {bool(other.hair_cm) for other in drawn} == {True, False}
