"""Film and backgrounds: frame times, what cameras and codecs do, variety by seed."""

from pathlib import Path

import av
import numpy as np
import pytest

from train.synth.backgrounds import paint
from train.synth.film import TICKS, Film, draw_film, draw_times, expose, write_mp4

PLAIN = Film((1.0, 1.0, 1.0), 1.0, 0.0, 0.0, 0.0, 0.0, 20)
GREY = np.full((64, 96, 3), 120, np.uint8)


def seen(film: Film, *images: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    return list(expose(np.random.default_rng(seed), film, images))


def test_frames_are_taken_at_12_to_30_a_second_with_jitter() -> None:
    rates, jitters = [], []
    for seed in range(40):
        t = draw_times(np.random.default_rng(seed), 8.0)
        steps = np.diff(t)
        assert t[0] == 0
        assert (steps > 0).all()
        np.testing.assert_allclose(t * TICKS, np.rint(t * TICKS), atol=1e-6)
        rates.append(1 / steps.mean())
        jitters.append(steps.std() / steps.mean())
    assert 11.5 < min(rates) < 13
    assert 28 < max(rates) < 31
    assert min(jitters) < 0.02
    assert max(jitters) > 0.1


def test_a_perfect_camera_changes_nothing() -> None:
    (image,) = seen(PLAIN, GREY)
    np.testing.assert_array_equal(image, GREY)


def test_exposure_noise_blur_and_motion_blur_show() -> None:
    (bright,) = seen(Film((1.2, 1.0, 0.8), 1.0, 0.0, 0.0, 0.0, 0.0, 20), GREY)
    assert bright[0, 0].tolist() == [144, 120, 96]
    noisy = seen(Film((1.0, 1.0, 1.0), 1.0, 5.0, 0.0, 0.0, 0.0, 20), GREY, GREY)
    assert 4 < noisy[0].astype(float).std() < 6
    assert (noisy[0] != noisy[1]).mean() > 0.5
    edge = GREY.copy()
    edge[:, 48:] = 220
    (soft,) = seen(Film((1.0, 1.0, 1.0), 1.0, 0.0, 1.5, 0.0, 0.0, 20), edge)
    assert 140 < soft[32, 47, 0] < 200
    trail = seen(Film((1.0, 1.0, 1.0), 1.0, 0.0, 0.0, 0.4, 0.0, 20), GREY, edge)
    assert trail[1][32, 80, 0] == pytest.approx(0.6 * 220 + 0.4 * 120, abs=1)


def test_cameras_differ_and_one_seed_has_one_camera() -> None:
    films = [draw_film(np.random.default_rng(seed)) for seed in range(60)]
    assert films[3] == draw_film(np.random.default_rng(3))
    assert {18 <= film.crf <= 34 for film in films} == {True}
    assert len({film.crf for film in films}) > 10
    assert 5 < sum(film.motion_blur > 0 for film in films) < 35
    assert max(film.noise for film in films) > 6


def test_a_video_has_its_frames_at_their_own_times_and_quality_costs_bytes(tmp_path: Path) -> None:
    t = draw_times(np.random.default_rng(1), 2.0)
    pictures = [paint(np.random.default_rng(k), (96, 128)) for k in range(4)]
    images = [pictures[k % 4] for k in range(len(t))]
    counts = list(write_mp4(tmp_path / "good.partial", t, images, 18))
    assert counts == list(range(1, len(t) + 1))
    list(write_mp4(tmp_path / "poor.partial", t, images, 34))
    with av.open(str(tmp_path / "good.partial")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        frames = list(container.decode(video=0))
    np.testing.assert_allclose([float(frame.time) for frame in frames], t, atol=1.5 / TICKS)
    decoded = frames[1].to_ndarray(format="rgb24").astype(float)
    assert np.abs(decoded - pictures[1]).mean() < 12
    good, poor = ((tmp_path / f"{n}.partial").stat().st_size for n in ("good", "poor"))
    assert poor < 0.6 * good


def test_a_full_disk_is_an_oserror(tmp_path: Path) -> None:
    full = tmp_path / "0001.partial"
    full.symlink_to("/dev/full")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (96, 128, 3)).astype(np.uint8) for _ in range(30)]
    with pytest.raises(OSError, match="No space left"):
        list(write_mp4(full, np.arange(30) / 15, images, 18))


def test_backgrounds_vary_and_follow_from_the_seed() -> None:
    pictures = [paint(np.random.default_rng(seed), (90, 160)) for seed in range(12)]
    assert all(p.shape == (90, 160, 3) and p.dtype == np.uint8 for p in pictures)
    np.testing.assert_array_equal(pictures[4], paint(np.random.default_rng(4), (90, 160)))
    means = [p.mean() for p in pictures]
    assert np.ptp(means) > 60
    assert max(p.std() for p in pictures) > 2 * min(p.std() for p in pictures)
