"""What another store has seen: taken with other labels, without perceiving anything."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import train.prepare
from tests.clips import make_clip
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import DrawnPerson, TinyVideo
from train.annotations import Corpus, DataError, Segment, Video
from train.hold_out import hold_out
from train.labels import MICRO_GESTURES
from train.perception import perception_of
from train.prepare import Prepared, Tally, begin_store, perceive_video, prepare
from train.store import open_store

SPEC = perception_of(tiny())


def corpus_in(folder: Path, *names: str, seconds: float = 2.0) -> Corpus:
    """Videos of a person each, with two gestures."""
    segments = (Segment(3, 2, 5, 0), Segment(4, 9, 12, 1))
    videos = []
    for name in names:
        stamps = [k / 10 for k in range(int(seconds * 10))]
        clip = make_clip(folder / f"{name}.mp4", stamps, size=(64, 48))
        videos.append(Video(name, clip, "train", f"p{name}", segments, 1, 2))
    return Corpus("drawn", MICRO_GESTURES, tuple(videos))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return corpus_in(tmp_path, "1", "2", "3")


@pytest.fixture
def seen(corpus: Corpus, tmp_path: Path) -> Path:
    """A store of the first two."""
    out = tmp_path / "seen"
    begin_store(out, corpus, SPEC, is_trimmed=False)
    for video in corpus.videos[:2]:
        perceive_video(video, DrawnPerson(SPEC, TinyVideo(video.id, "train")), out)
    return out


@pytest.fixture
def perceived(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What had to be perceived all the same, by drawn people."""
    ids: list[str] = []

    def draw(todo: list[Video], spec: object, out: Path, workers: int) -> Iterator[Prepared]:
        for video in todo:
            ids.append(video.id)
            yield perceive_video(video, DrawnPerson(SPEC, TinyVideo(video.id, "train")), out)

    monkeypatch.setattr(train.prepare, "_in_processes", draw)
    monkeypatch.setattr(
        train.prepare, "open_perceiver", lambda spec: SimpleNamespace(close=lambda: None)
    )
    return ids


def again(corpus: Corpus, out: Path, seen: Path | None) -> Tally:
    return prepare(
        corpus, SPEC, out, is_trimmed=False, workers=1, report=lambda result: None, seen=seen
    )


@pytest.mark.parametrize("has_links", [True, False])
def test_labels_are_new_and_what_was_seen_is_shared(
    corpus: Corpus, seen: Path, perceived: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, *, has_links: bool,
) -> None:  # fmt: skip
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    other = (Segment(7, 1, 3, 0), Segment(8, 90, 95, 1))
    relabelled = replace(corpus.videos[0], split="val", emotion=0, segments=other)
    changed = replace(corpus, name="other", videos=(relabelled, *corpus.videos[1:]))
    tally = again(changed, tmp_path / "out", seen)
    assert perceived == ["3"]
    assert (tally.resumed, tally.videos) == (2, 1)
    before, after = open_store(seen), open_store(tmp_path / "out")
    video = after.video("1")
    assert (video.split, video.emotion, after.info.corpus) == ("val", 0, "other")
    assert [(s.label, round(s.start, 2)) for s in video.spans] == [(7, 0.1)]
    assert dict(video.problems) == {"label beyond the video's end, left out": 1}
    assert dict(before.video("1").problems) == {}
    for name in ("shards/1.tar", "videos/1.npy"):
        assert (seen / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
        assert (seen / name).samefile(tmp_path / "out" / name) == has_links
    old, new = before.window("1", 0.0, 1.5, anchor=0.5), after.window("1", 0.0, 1.5, anchor=0.5)
    assert old is not None
    assert new is not None
    assert (old.rgb == new.rgb).all()
    assert again(changed, tmp_path / "out", None).resumed == 3  # it is a store as any other


def test_folds_share_one_perception_and_hold_out_everybody_once(
    corpus: Corpus, seen: Path, perceived: list[str], tmp_path: Path
) -> None:
    again(corpus, tmp_path / "all", seen)
    assert perceived == ["3"]
    held = []
    for fold in (1, 2, 3):
        out = tmp_path / f"fold{fold}"
        again(hold_out(corpus, 0.34, fold=fold), out, tmp_path / "all")
        held += [video.id for video in open_store(out).videos("val")]
    assert perceived == ["3"]
    assert sorted(held) == ["1", "2", "3"]


def test_another_video_under_the_same_id_is_refused(
    seen: Path, perceived: list[str], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    longer = corpus_in(tmp_path / "other", "1", seconds=9.0)
    with pytest.raises(DataError, match=r"video 1 lasts 1\.9 s, .* 8\.9 s: it is of another data"):
        again(longer, tmp_path / "out", seen)
    assert perceived == []


def test_a_store_of_another_perception_is_refused(
    corpus: Corpus, seen: Path, tmp_path: Path
) -> None:
    path = seen / "store.json"
    info = json.loads(path.read_text())
    info["perception"]["storage"] = [128, 128]
    path.write_text(json.dumps(info))
    with pytest.raises(DataError, match="perceived otherwise than this recipe does"):
        again(corpus, tmp_path / "out", seen)
    with pytest.raises(DataError, match="expected what `train prepare` writes"):
        again(corpus, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
