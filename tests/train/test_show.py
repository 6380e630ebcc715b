"""`train show`: a contact sheet of prepared windows."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.tensor_specs import RgbInput
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import VIDEOS, TinyVideo, write_tiny_store
from train.__main__ import main
from train.annotations import DataError
from train.contact_sheet import draw_sheet
from train.recipes import demo
from train.shown_samples import fitting_recipe, sample_at, spread_samples
from train.store import Store, open_store

SPAN_S = tiny().window.span_s


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    videos = (*VIDEOS[:2], VIDEOS[3], TinyVideo("z", "val", (), seconds=1.0))
    return open_store(write_tiny_store(tmp_path_factory.mktemp("s") / "s", tiny(), videos))


def test_a_sample_says_where_it_is_from_and_what_it_shows(store: Store) -> None:
    shown = sample_at(store, "a", 2.0, tiny())
    assert shown.anchor == pytest.approx(2.0)
    assert shown.title == "Touching or scratching forehead"
    assert shown.facts[:2] == ("video a, train, subject a", "emotion: negative")
    assert shown.window.end == pytest.approx(2.0 + SPAN_S / 2, abs=0.1)
    assert list(shown.spans[0]) == pytest.approx([0.5, 2.4])
    assert sample_at(store, "a", 0.0, tiny()).anchor == pytest.approx(SPAN_S / 2)
    background = sample_at(store, "a", 2.7, tiny())
    assert background.title == "Illustrative body language (nothing annotated here)"
    short = sample_at(store, "z", 0.5, tiny())
    assert [short.window.start, short.window.end] == pytest.approx([0.0, 0.9])
    assert short.facts[1] == "emotion: not annotated"


def test_samples_spread_over_classes_and_videos(store: Store) -> None:
    every = spread_samples(store, tiny(), 50)
    assert len(every) == 7  # six gestures, and the middle of the video without any
    assert len({(s.facts[0], s.anchor) for s in every}) == 7
    few = spread_samples(store, tiny(), 3)
    assert [s.title for s in few] == [
        every[0].title, every[3].title, every[6].title,
    ]  # fmt: skip
    of_b = spread_samples(store, tiny(), 50, name="b")
    assert {s.facts[0] for s in of_b} == {"video b, train, subject b"}
    val = spread_samples(store, tiny(), 50, split="val")
    assert {s.facts[0][:10] for s in val} == {"video d, v", "video z, v"}


def test_the_sheet_shows_the_pictures_the_face_and_the_gesture(store: Store) -> None:
    shown = sample_at(store, "a", 2.0, tiny())
    sheet = draw_sheet([shown], tiny().inputs)
    assert sheet.dtype == np.uint8
    assert min(sheet.shape[:2]) > 300
    colors = sheet.reshape(-1, 3)
    rgb = next(i for i in tiny().inputs if isinstance(i, RgbInput))
    assert rgb.sampling.frames == 4
    # The tint of the gesture's pictures, the grey of the faces and the strip's colours are there.
    for color, share in (
        (shown.window.rgb[-1].reshape(-1, 3).mean(axis=0), 0.05), ((60, 60, 60), 0.01),
        ((79, 184, 165), 0.0005), ((44, 92, 86), 0.00005), ((255, 193, 77), 0.00005),
    ):  # fmt: skip
        near = np.abs(colors.astype(int) - np.asarray(color)).max(axis=1) < 25
        assert near.mean() > share, color
    two = draw_sheet([shown, shown], tiny().inputs)
    assert two.shape == (2 * sheet.shape[0], *sheet.shape[1:])
    assert np.array_equal(two[: len(sheet)], two[len(sheet) :])
    six = draw_sheet([shown] * 6, tiny().inputs)
    assert six.shape == (3 * sheet.shape[0], 2 * sheet.shape[1], 3)


def test_the_command_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_store(tmp_path / "s", demo(), VIDEOS[:1])
    out = tmp_path / "new" / "sheet.png"
    assert main(["show", "--data", str(folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"2 windows of tiny in {out}\n"
    picture = cv2.imread(str(out))
    assert picture is not None
    assert picture.std() > 10
    at = tmp_path / "at.jpg"
    command = ["show", "--data", str(folder), "--video", "a", "--at", "3", "--out", str(at)]
    assert main(command) == 0
    assert cv2.imread(str(at)) is not None


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--out", "x.gif"], "--out: expected a name with .png or .jpg or .jpeg: x.gif"),
        (["--out", "x.png", "--number", "0"], "--number: expected 1 to 100, got 0"),
        (["--out", "x.png", "--at", "3"], "--at: expected --video ID beside it"),
        (["--out", "x.png"], "nowhere: expected what `train prepare` writes (store.json: No such"),
    ],
)
def test_a_wrong_option_is_one_line(
    extra: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "--data", "nowhere", *extra]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_is_not_there_is_one_line(store: Store) -> None:
    with pytest.raises(DataError, match="has no video 'q', but 4 from a to z"):
        sample_at(store, "q", 1.0, tiny())
    with pytest.raises(DataError, match=r"--at: video a lasts from 0.00 to 5.90 s, got 7"):
        sample_at(store, "a", 7.0, tiny())
    with pytest.raises(DataError, match="there is no video of the split 'test'; its splits: tr"):
        spread_samples(store, tiny(), 5, split="test")
    with pytest.raises(DataError, match="video a is not of the split 'val'"):
        spread_samples(store, tiny(), 5, name="a", split="val")
    with pytest.raises(DataError, match="other perception than the recipes demo ask for"):
        fitting_recipe(store, [demo()])
