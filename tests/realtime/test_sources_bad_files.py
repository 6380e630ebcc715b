import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.errors import SourceError
from realtime.sources import open_source
from tests.clips import make_clip, make_sound, picture

FASTSTART = {"movflags": "faststart"}
STAMPS = [i / 30 for i in range(30)]


def bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    whole = make_clip(folder / "whole.mp4", STAMPS).read_bytes()
    contents = {
        "empty.mp4": (b"", "is empty"),
        "text.mp4": (b"hello, this is no video\n" * 50, "not a video"),
        "text.txt": (b"hello, this is no video\n" * 50, "not a video"),
        "noise.mp4": (np.random.default_rng(0).bytes(20000), "not a video"),
        "no_index.mp4": (whole[: len(whole) // 2], "its index (moov) is missing"),
    }
    for name, (content, reason) in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name, reason
    for suffix in ("png", "jpg", "bmp", "webp"):
        cv2.imwrite(str(folder / f"picture.{suffix}"), picture(0))
        yield folder / f"picture.{suffix}", "not a video but a picture"
    yield make_sound(folder / "sound.m4a"), "only sound"
    yield folder, "is a folder"
    yield folder / "absent.mp4", "There is no file"
    yield folder / "whole.mp4" / "inside.mp4", "There is no file"
    yield Path(os.devnull), "is not a file"


def test_a_file_that_is_no_video_is_refused_in_one_line_that_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path, reason in bad_files(tmp_path):
        with pytest.raises(SourceError) as caught:
            open_source(str(path))
        message = str(caught.value)
        assert reason in message, path
        assert str(path) in message
        assert "\n" not in message
    assert capfd.readouterr().err == ""


def test_a_video_of_which_nothing_decodes_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "zeros.mp4", STAMPS, options=FASTSTART)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(SourceError, match="none of its pictures decodes"):
        open_source(str(path))


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", STAMPS)
    clip.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:  # who may read anything: be nobody for a moment
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(SourceError, match="may not be read: check its permissions"):
            open_source(str(clip))
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://{}/a.ts\n",
        "ffconcat version 1.0\nfile http://{}/a.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["hls", "concat", "sdp"],
)
def test_no_file_leads_ffmpeg_into_the_network(tmp_path: Path, content: str) -> None:
    path = tmp_path / "list.m3u8"
    with socket.create_server(("127.0.0.1", 0)) as server:
        path.write_text(content.format(f"127.0.0.1:{server.getsockname()[1]}"))
        begin = time.monotonic()
        with pytest.raises(SourceError):
            open_source(str(path))
        assert time.monotonic() - begin < 3
        server.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
