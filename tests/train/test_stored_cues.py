"""Cues of perceived pictures: what a rendered person touches goes with its video into the store."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.preprocess import sample
from tests.clips import make_clip
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import RATE_HZ, DrawnPerson, TinyVideo, write_tiny_store
from train.annotations import DataError, Video, cues_beside
from train.augment import Augmentation
from train.cues import FACE_CUES, HAND_CUES, SHOWN
from train.dataset import Example, Labels, WindowDataset, manifest_of
from train.perception import perception_of
from train.prepare import perceive_video
from train.store import open_store
from train.store_files import cues_file
from train.synth.controls import FACE
from train.synth.touches import CUES_DTYPE, TOUCHED

SPAN_S = tiny().window.span_s
EYE, NOTCH = TOUCHED.index("eye"), TOUCHED.index("notch")
CALM = Augmentation(**{entry.name: 0 for entry in fields(Augmentation)})
AN_EXAMPLE = Example("a", 4.0, {})


def known_touches(frames: int) -> np.ndarray:
    """The left hand comes to an eye, the right one leaves the notch, and lips are pressed."""
    out = np.zeros(frames, CUES_DTYPE)
    out["t"] = np.arange(frames) / RATE_HZ
    out["touched"][:, 0, EYE] = out["t"] / 10
    out["touched"][:, 1, NOTCH] = 1 - out["t"] / 10
    out["actions"][:, FACE.index("lip_roll")] = out["t"] / 20
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_tiny_store(tmp_path / "s", tiny(), (TinyVideo("a", "train"),))
    np.save(cues_file(folder, "a"), known_touches(60))
    return folder


def drawn(folder: Path, how: Augmentation | None = None, number: int = 0) -> Labels:
    dataset = WindowDataset(open_store(folder), [AN_EXAMPLE], tiny(), how=how)
    return dataset.drawn(number, 0)[1]


def sampled_at(modality: str, t: np.ndarray) -> np.ndarray:
    (spec,) = (spec for spec in manifest_of(tiny()).inputs if spec.modality == modality)
    return t[sample(t, spec.sampling)[0]]


def test_each_picture_knows_what_was_touched_at_its_instant(folder: Path) -> None:
    window = open_store(folder).window("a", AN_EXAMPLE.end - SPAN_S, AN_EXAMPLE.end, anchor=0.5)
    assert window is not None
    cues = drawn(folder)
    hands, at = cues[HAND_CUES], torch.from_numpy(sampled_at("hand", window.t))
    shown = torch.isfinite(hands).all(-1)
    assert shown[:, 0].any(), "the left wrist of drawn people is in the picture"
    torch.testing.assert_close(
        hands[:, 0, EYE][shown[:, 0]].double(), at[shown[:, 0]] / 10, atol=1e-3, rtol=0
    )
    at = torch.from_numpy(sampled_at("face", window.t))
    lips = cues[FACE_CUES][:, SHOWN.index("lip_roll")]
    torch.testing.assert_close(lips.double(), at / 20, atol=1e-3, rtol=0)
    eye = cues[FACE_CUES][:, SHOWN.index("eye")]
    torch.testing.assert_close(eye.double(), at / 10, atol=1e-3, rtol=0)


def test_in_a_mirror_the_other_hand_touches(folder: Path) -> None:
    plain, flipped = drawn(folder), drawn(folder, replace(CALM, mirror=1.0))
    both = torch.isfinite(plain[HAND_CUES]) & torch.isfinite(flipped[HAND_CUES].flip(1))
    assert both[:, 0].any()
    torch.testing.assert_close(flipped[HAND_CUES].flip(1)[both], plain[HAND_CUES][both])
    torch.testing.assert_close(flipped[FACE_CUES], plain[FACE_CUES])


def test_at_any_speed_the_middle_shows_the_same_instant(folder: Path) -> None:
    how = replace(CALM, speed=0.5)
    eyes = torch.stack([drawn(folder, how, n)[FACE_CUES][:, SHOWN.index("eye")] for n in range(12)])
    middle, end = (10 * eyes).unbind(1)  # two faces a window
    assert (middle - (AN_EXAMPLE.end - SPAN_S / 2)).abs().max() < 1.5 / RATE_HZ
    lasting = end - middle
    assert lasting.max() > 1.1 * SPAN_S / 2 > 0.9 * SPAN_S / 2 > lasting.min()


def test_of_a_recording_nothing_is_known_and_a_broken_file_is_one_line(folder: Path) -> None:
    path = cues_file(folder, "a")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"a_cues\.npy: broken; delete .*a\.json and run"):
        drawn(folder)
    np.save(path, np.zeros(3))
    with pytest.raises(DataError, match=r"a_cues\.npy: broken"):
        drawn(folder)
    path.unlink()
    assert all(torch.isnan(cues).all() for key, cues in drawn(folder).items() if "cues" in key)


def test_what_lies_beside_a_video_goes_into_the_store(folder: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "b.mp4", [k / RATE_HZ for k in range(30)], size=(64, 48))
    np.save(cues_beside(clip), known_touches(30))
    video, perceiver = (
        TinyVideo("b", "train"),
        DrawnPerson(perception_of(tiny()), TinyVideo("b", "")),
    )
    perceive_video(Video(video.id, clip, video.split, "b", (), None), perceiver, folder)
    found = open_store(folder).cues("b", np.array([0.0, 1.04, 9.0]))
    assert found is not None
    np.testing.assert_allclose(found["t"], [0.0, 1.0, 2.9])
