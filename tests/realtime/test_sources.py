import numpy as np
import pytest

from realtime.errors import SourceError
from realtime.sources import BrowserSource, Source, open_source
from realtime.sources.synthetic import centre


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "An empty name is not a source: expected a camera number"),
        ("ftp://ann:hunter2@host/a.mp4", "ftp://host/a.mp4 is not a source: expected a camera"),
        ("gopher://x", "gopher://x is not a source"),
        ("rtsp:/host/live", "is not a source: expected a camera number"),
        ("webcam:one", "is no camera: expected webcam:0 to webcam:63"),
        ("webcam:", "is no camera"),
        ("640", "is no camera"),
        ("-1", "There is no file -1"),
        ("10.0.0.5/live", "10.0.0.5/live: check the name, or write rtsp://10.0.0.5/live if it is"),
        ("ann:hunter2@cam.local:554/live", "or write rtsp://cam.local:554/live if it is a camera"),
        ("file://elsewhere/clip.mp4", "another machine"),
        ("test://?fps=0", "fps must be a number from 1 to 240, got '0'"),
        ("test://?fps=nan", "fps must be a number"),
        ("test://?size=640", "height must be a number"),
        ("test://?size=9x9", "width must be a number from 64"),
        ("test://?seconds=-1", "seconds must be a number"),
        ("test://?colour=red", "unknown parameter colour"),
        ("test://pattern", "is not understood"),
    ],
)
def test_what_is_no_source_is_refused_with_what_would_be_one(uri: str, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(uri)
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_test_pattern_moves_as_it_says() -> None:
    with open_source("test://?fps=20&size=320x240&seconds=2") as source:
        assert (source.fps, source.size, source.num_frames, source.duration_s) == (
            20.0, (320, 240), 40, 2.0,
        )  # fmt: skip
        frames = list(source)
    assert [frame.t for frame in frames] == pytest.approx([i / 20 for i in range(40)])
    for frame in frames[::7]:
        white = np.argwhere((frame.image == 255).all(axis=2))
        assert white.mean(axis=0)[::-1] == pytest.approx(centre(frame.t, (320, 240)), abs=1.5)


def test_the_test_pattern_is_paced_like_a_camera_on_request() -> None:
    with open_source("test://?fps=50&seconds=0.5&size=64x64", realtime=True) as source:
        frames = list(source)
    delays = [frame.arrived - frames[0].arrived - frame.t for frame in frames]
    assert len(frames) == 25
    assert min(delays) > -0.005
    assert np.median(delays) < 0.02


def test_the_test_pattern_without_an_end_goes_on_until_it_is_closed() -> None:
    source = open_source("test://?seconds=0.1&size=64x64", loop=True)
    assert source.num_frames is None
    assert [next(source).index for _ in range(10)] == list(range(10))
    source.close()
    assert list(source) == []


def test_a_browser_is_a_source() -> None:
    source: Source = BrowserSource()
    assert source.is_live
