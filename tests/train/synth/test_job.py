"""The job: deterministic, resumable, patient with workers that hang, clear about what is wrong."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.train.synth import faulty_workers
from train.annotations import DataError, cues_beside
from train.imigue import read_layout_a, read_layout_b
from train.synth import job
from train.synth.body import Body
from train.synth.job import synthesise
from train.synth.scene import SHOWN_CM
from train.synth.take import Studio, SynthOptions, cast, stage
from train.synth.touches import CUES_DTYPE

CLIPS = 2


def options(avatars: Path, out: Path, **changes: object) -> SynthOptions:
    """Two people, one of them never seen in training, in pictures as small as can be."""
    values: dict[str, object] = {
        "avatars": avatars, "out": out, "clips": CLIPS, "seed": 1, "is_untrimmed": False,
        "length_s": 5.0, "people": {"m002": "train", "f009": "test"}, "layout": "A",
        "size": (96, 128),
    }  # fmt: skip
    return SynthOptions(**(values | changes))  # type: ignore[arg-type]


def files(root: Path) -> dict[str, bytes]:
    """Name -> content, of everything but the records."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".synth" not in path.parts
    }


@pytest.fixture(scope="module")
def rendered(avatars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that one worker has filled."""
    out = tmp_path_factory.mktemp("synth") / "rendered"
    seen: list[tuple[int, int]] = []
    tally = synthesise(options(avatars, out), 1, lambda v, f: seen.append((v, f)))
    assert (tally.videos, tally.resumed, tally.hangs) == (CLIPS, 0, 0)
    assert sum(v for v, _ in seen) == CLIPS
    assert sum(f for _, f in seen) == tally.frames > 10 * CLIPS
    assert len(seen) > 2 * CLIPS, "progress within a video, too"
    return out


def test_what_was_rendered_is_read_as_the_data_set(rendered: Path) -> None:
    corpus = read_layout_a(rendered)
    assert [(v.id, v.subject, v.split) for v in corpus.videos] == [
        ("0001", "m002", "train"), ("0002", "f009", "test"),
    ]  # fmt: skip
    for k, video in enumerate(corpus.videos):
        assert [s.label for s in video.segments] == [k]
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (128, 96)
            frames = sum(1 for _ in container.decode(stream))
        assert 0 <= video.segments[0].start < video.segments[0].end < frames
        touched = np.load(cues_beside(video.path))
        assert touched.dtype == CUES_DTYPE
        assert len(touched) == frames


def test_one_seed_renders_the_same_bytes_in_another_process_and_another_seed_does_not(
    rendered: Path, avatars: Path, tmp_path: Path
) -> None:
    again = options(avatars, tmp_path / "again")
    (again.out / ".synth").mkdir(parents=True)
    other = options(avatars, tmp_path / "other", seed=2)
    (other.out / ".synth").mkdir(parents=True)
    for wanted in (again, other):
        studio = Studio(wanted)
        for _ in studio.shoot(0):
            pass
        studio.close()
    before, same, different = files(rendered), files(again.out), files(other.out)
    assert len(same) == 4
    assert {name for name in same if same[name] != before[name]} == set()
    assert {name for name in different if different[name] == before[name]} == set()


def test_a_second_run_adds_only_what_is_missing(rendered: Path, avatars: Path) -> None:
    first = options(avatars, rendered)
    before = files(rendered)
    first.record(1).unlink()
    (rendered / "imigue_rgb_phase2/0002/0002.mp4").unlink()
    done: list[int] = []
    tally = synthesise(first, 1, lambda v, _: done.append(v))
    assert (tally.videos, tally.resumed, sum(done)) == (1, 1, 1)
    assert files(rendered) == before


def test_a_finished_folder_is_left_as_it_is(rendered: Path, avatars: Path) -> None:
    before = files(rendered)
    tally = synthesise(options(avatars, rendered), 2, lambda _v, _f: None)
    assert (tally.videos, tally.frames, tally.resumed) == (0, 0, CLIPS)
    assert files(rendered) == before


def test_a_folder_from_before_an_option_was_there_goes_on(rendered: Path, avatars: Path) -> None:
    path = rendered / ".synth" / "options.json"
    whole = path.read_text()
    known = json.loads(whole)
    del known["is_strangers"]
    path.write_text(json.dumps(known))
    assert synthesise(options(avatars, rendered), 1, lambda _v, _f: None).resumed == CLIPS
    with pytest.raises(DataError, match="was begun with another --strangers;"):
        synthesise(options(avatars, rendered, is_strangers=True), 1, lambda _v, _f: None)
    path.write_text(whole)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 2}, "--seed"), ({"size": (128, 96), "seed": 3}, "--seed, --size"),
     ({"layout": "B"}, "--layout"), ({"length_s": 3.0}, "--length-s"),
     ({"people": {"m002": "train"}}, "--people, --validate or --test")],
)  # fmt: skip
def test_a_folder_begun_with_other_options_is_refused(
    rendered: Path, avatars: Path, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(DataError, match=f"was begun with another {named};"):
        synthesise(options(avatars, rendered, **changes), 1, lambda _v, _f: None)


def test_long_takes_in_layout_b_are_read_back(avatars: Path, tmp_path: Path) -> None:
    long = options(avatars, tmp_path, clips=1, is_untrimmed=True, length_s=8.0, layout="B")
    (tmp_path / ".synth").mkdir()
    studio = Studio(long)
    frames = list(studio.shoot(0))[-1]
    studio.close()
    synthesise(long, 1, lambda _v, _f: None)
    (video,) = read_layout_b(tmp_path, split="miga").videos
    assert len(video.segments) >= 1
    for segment in video.segments:
        assert 0 <= segment.start <= segment.end < frames
    for before, after in pairwise(video.segments):
        assert before.end < after.start


def test_a_worker_that_hangs_is_replaced_and_its_video_is_whole(
    rendered: Path, avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = options(avatars, tmp_path / "hung", clips=1)
    patient = job._SILENCE_S
    watchers: list[threading.Thread] = []
    others = set(multiprocessing.active_children())

    def be_patient_once_it_is_gone(pid: int) -> None:
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.02)
        monkeypatch.setattr(job, "_SILENCE_S", patient)

    def report(videos: int, frames: int) -> None:
        if frames and not videos and not watchers:
            (worker,) = set(multiprocessing.active_children()) - others
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGSTOP)  # what it does no more: answer
            monkeypatch.setattr(job, "_SILENCE_S", 0.5)
            watchers.append(threading.Thread(target=be_patient_once_it_is_gone, args=[worker.pid]))
            watchers[0].start()

    tally = synthesise(wanted, 1, report)
    watchers[0].join()
    assert (tally.videos, tally.hangs) == (1, 1)
    label = "imigue_data_phase1/datasets/imigue_skeleton_train/0001/0001_label.csv"
    assert (wanted.out / label).read_bytes() == (rendered / label).read_bytes()
    assert not list(wanted.out.rglob("*.partial"))


def refused(worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch, out: Path) -> str:
    """Why the job gives up with such workers."""
    others = set(multiprocessing.active_children())
    monkeypatch.setattr(job, "_work", worker)
    with pytest.raises(DataError) as caught:
        synthesise(options(out, out, clips=1), 1, lambda _v, _f: None)
    assert set(multiprocessing.active_children()) <= others
    return str(caught.value)


def test_a_video_that_always_ends_its_worker_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(faulty_workers.die, monkeypatch, tmp_path)
    assert message == "video 0001 failed 3 times: its worker died"


def test_a_video_that_always_hangs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_SILENCE_S", 0.3)
    message = refused(faulty_workers.hang, monkeypatch, tmp_path)
    assert message == "video 0001 failed 3 times: its worker hung"


def test_strangers_are_others_in_most_videos_and_nearer_in_some(
    avatars: Path, tmp_path: Path, man: Body
) -> None:
    plain, strange = options(avatars, tmp_path), options(avatars, tmp_path, is_strangers=True)
    assert cast(plain, 0, man) is man
    people = [cast(strange, clip, man) for clip in range(8)]
    widths = [round(float(np.ptp(p.avatar.parts[0].positions[:, 0])), 4) for p in people]
    assert len(set(widths)) > 4
    again = cast(strange, 3, man).avatar.parts[0].positions
    np.testing.assert_array_equal(again, people[3].avatar.parts[0].positions)
    scenes = [(stage(plain, k, man)[2], stage(strange, k, man)[2]) for k in range(8)]
    assert sum(not np.array_equal(a.clothes, b.clothes) for a, b in scenes) > 3
    is_nearer = [not np.array_equal(a.camera.eye, b.camera.eye) for a, b in scenes]
    assert 0 < sum(is_nearer) < 5
    eyes = man.landmarks["eyes"].point
    shown = [1 / b.camera.pixels_per_cm(eyes, 1) for _, b in scenes]  # cm of the whole height
    assert all(cm < 1.1 * SHOWN_CM[0] for cm, near in zip(shown, is_nearer, strict=True) if near)
    moves = [(stage(plain, k, man)[1], stage(strange, k, man)[1]) for k in range(2)]
    faces = [m.bones[0, man.bone("MNose"), :3, 3] - m.bones[0, man.bone("Head"), :3, 3]
             for pair in moves for m in pair]  # fmt: skip
    assert np.linalg.norm(faces[1] - faces[0]) > 0.05  # other features, too


def test_frames_differ_over_time(rendered: Path) -> None:
    path = rendered / "imigue_rgb_phase1/train_data/0001/0001.mp4"
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24").astype(float) for f in container.decode(video=0)]
    assert np.abs(frames[len(frames) // 2] - frames[0]).mean() > 0.5
