import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from realtime.errors import SourceError, SourceLost
from realtime.sources import NetworkSource, open_source
from realtime.sources.container import Video
from tests.clips import make_clip, picture
from tests.local_servers import closed_port, http_server, mute_server
from tests.rtsp import RtspServers

TIMEOUT_S = 1.5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stamps = [i / 30 for i in range(60)]
    options = {"movflags": "faststart"}
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", stamps, options=options)


class Wire:
    """What was written cannot be changed any more."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def sent_live(clip: Path, kind: str, *, num_missed: int = 0) -> bytes:
    """The clip as a camera sends it: nobody knows yet how long it will be."""
    wire, options = Wire(), {"movflags": "frag_keyframe+empty_moov"} if kind == "mp4" else {}
    with av.open(str(clip)) as source, av.open(wire, "w", format=kind, options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and index >= num_missed:
                packet.stream = stream
                target.mux(packet)
    return wire.data


@pytest.fixture
def http(clip: Path) -> Iterator[str]:
    jpeg = cv2.imencode(".jpg", picture(0)[..., ::-1])[1].tobytes()
    with http_server(clip, jpeg) as address:
        yield address


def test_an_rtsp_camera_delivers_in_real_time(clip: Path, rtsp_server: RtspServers) -> None:
    with open_source(rtsp_server(clip), timeout_s=5) as source:
        assert source.is_live
        assert source.size == (160, 120)
        assert source.fps == pytest.approx(30, rel=0.05)
        assert source.num_frames is None
        frames = list(islice(source, 45))
    steps = [b.t - a.t for a, b in pairwise(frames)]
    delays = [frame.arrived - frames[0].arrived - frame.t for frame in frames]
    assert np.median(steps) == pytest.approx(1 / 30, abs=3e-3)
    assert min(steps) > 0
    assert np.ptp(delays[5:]) < 0.25  # neither faster nor slower than the camera
    assert any(np.abs(frames[9].image.astype(int) - picture(i)).mean() < 4 for i in range(60))


def test_a_camera_that_knows_only_udp_delivers_and_is_lost_in_time(
    clip: Path, rtsp_server: RtspServers
) -> None:
    url = rtsp_server(clip, is_udp=True)
    with open_source(url, timeout_s=3) as source:
        assert [frame.index for frame in islice(source, 10)] == list(range(10))
        rtsp_server.freeze(url)
        with pytest.raises(SourceLost, match=r"has sent no picture for 3 s"):
            list(source)
    rtsp_server.stop(url)


def test_a_camera_with_few_key_frames_is_opened_by_its_first_and_seen_as_it_is(
    tmp_path: Path, rtsp_server: RtspServers
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [i / 10 for i in range(300)])
    with open_source(rtsp_server(clip, keys_apart_s=60), timeout_s=5) as source:
        frames = list(islice(source, 15))
    delays = [frame.arrived - frame.t for frame in frames]
    assert np.ptp(delays) < 0.5, "the first picture is as fresh as the others"


def test_who_waits_for_a_key_frame_in_vain_is_told_so(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "joined.mkv").write_bytes(sent_live(clip, "matroska", num_missed=1))
    with (
        av.open(str(tmp_path / "joined.mkv")) as container,
        pytest.raises(SourceError, match=r"no key frame in time; .* --source-timeout-s"),
    ):
        Video(container, "camera", is_live=True, until=time.monotonic())


def test_a_slow_reader_gets_the_newest_picture(clip: Path, rtsp_server: RtspServers) -> None:
    with open_source(rtsp_server(clip), timeout_s=5) as source:
        first = next(source)
        time.sleep(1.0)
        late = next(source)
        assert time.monotonic() - late.arrived < 0.2
        assert late.index > first.index + 20
        assert isinstance(source, NetworkSource)
        assert source.num_dropped > 20


@pytest.mark.parametrize("password", ["hunter2", "p@ss/w?rd%4"])
def test_a_password_opens_and_is_shown_nowhere(
    clip: Path,
    rtsp_server: RtspServers,
    password: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = rtsp_server(clip, ("ann", password))
    address = url.rpartition("@")[2]
    pasted = password.replace("%", "%25")
    texts = []
    with caplog.at_level(logging.DEBUG):
        with open_source(f"rtsp://ann:{pasted}@{address}", timeout_s=5) as source:
            next(source)
            rtsp_server.stop(url)
            with pytest.raises(SourceLost) as lost:
                list(source)
            texts += [source.id, repr(source), whole_text(lost.value)]
        with pytest.raises(SourceError) as refused:
            open_source(f"rtsp://ann:{pasted}@{address}", timeout_s=5)
        texts += [whole_text(refused.value), caplog.text, *capfd.readouterr()]
    assert source.id == f"rtsp://{address}"
    for secret in (password, pasted, "ann:"):
        assert not any(secret in text for text in texts)


def whole_text(error: BaseException | None) -> str:
    """What a traceback would print of the error and of those before it."""
    text = ""
    while error is not None:
        text += f"{error} {error.args}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text


def test_a_camera_refuses_with_its_reason(clip: Path, rtsp_server: RtspServers) -> None:
    url = rtsp_server(clip, ("ann", "hunter2"))
    for wrong in (url.replace("hunter2", "hunter3"), url.replace("ann:hunter2@", "")):
        with pytest.raises(SourceError, match=r"refused \(401\): check user and password"):
            open_source(wrong, timeout_s=5)
    with pytest.raises(SourceError, match=r"/elsewhere cannot be opened: .* \(404\)"):
        open_source(url.replace("live", "elsewhere"), timeout_s=5)


@pytest.mark.parametrize("end", [RtspServers.stop, RtspServers.freeze], ids=["ends", "hangs"])
def test_a_camera_that_stops_is_lost_within_the_time_out(
    clip: Path, rtsp_server: RtspServers, end: Callable[[RtspServers, str], None]
) -> None:
    url = rtsp_server(clip)
    with open_source(url, timeout_s=TIMEOUT_S) as source:
        next(source)
        end(rtsp_server, url)
        begin = time.monotonic()
        with pytest.raises(SourceLost, match=f"^{source.id} has (ended|sent no picture)"):
            list(source)
        assert time.monotonic() - begin < TIMEOUT_S + 0.5
        begin = time.monotonic()
    assert time.monotonic() - begin < 1


def test_close_ends_an_iteration_that_waits_for_a_frozen_camera(
    clip: Path, rtsp_server: RtspServers
) -> None:
    url = rtsp_server(clip)
    source = open_source(url, timeout_s=8)
    rtsp_server.freeze(url)
    threading.Timer(0.5, source.close).start()
    begin = time.monotonic()
    list(source)
    assert time.monotonic() - begin < 1.5
    rtsp_server.stop(url)


def test_a_clip_over_http_loses_no_frame(http: str) -> None:
    with open_source(f"http://{http}/clip", timeout_s=5) as source:
        assert not source.is_live
        assert source.num_frames == 60
        assert source.duration_s == pytest.approx(2, abs=0.1)
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.005 * (frame.index % 3))
    assert [frame.index for frame in frames] == list(range(60))
    assert frames[-1].t == pytest.approx(59 / 30, abs=3e-3)


def test_a_clip_over_http_takes_a_pasted_password(http: str) -> None:
    with open_source(f"http://ann:p@ss/word@{http}/locked", timeout_s=5) as source:
        assert source.id == f"http://{http}/locked"
        assert next(source).index == 0


def test_a_clip_over_http_that_breaks_off_is_an_error(http: str) -> None:
    source = open_source(f"http://{http}/cut", timeout_s=5)
    with source, pytest.raises(SourceError, match="broke off"):
        list(source)


def test_a_clip_over_http_that_stalls_is_an_error_not_a_lost_camera(http: str) -> None:
    source = open_source(f"http://{http}/stall", timeout_s=TIMEOUT_S)
    assert not source.is_live
    begin = time.monotonic()
    with source, pytest.raises(SourceError, match=r"/stall has sent no picture for 1\.5 s"):
        list(source)
    assert TIMEOUT_S <= time.monotonic() - begin < 2 * TIMEOUT_S


def test_a_camera_that_sends_jpegs_runs_by_the_wall_clock(http: str) -> None:
    with open_source(f"http://{http}/mjpeg", timeout_s=5) as source:
        assert source.is_live
        assert source.fps is None
        frames = list(islice(source, 8))
        assert frames[-1].t > 0.3
        for frame in frames:
            assert frame.t == pytest.approx(frame.arrived - frames[0].arrived, abs=0.02)
        with pytest.raises(SourceLost, match=r"^http://.* (ended|broke off)"):
            list(source)


@pytest.mark.parametrize("kind", ["flv", "mp4", "mpegts", "matroska"])
def test_a_camera_over_http_is_live_in_whatever_container(
    kind: str, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "sent").write_bytes(sent_live(clip, kind))
    with http_server(tmp_path / "sent") as address:
        source = open_source(f"http://{address}/endless", timeout_s=5)
        with source, pytest.raises(SourceLost, match="ended"):
            list(source)
    assert source.is_live
    assert source.duration_s is None


def test_a_clip_whose_server_tells_no_length_is_a_clip(http: str) -> None:
    with open_source(f"http://{http}/endless", timeout_s=5) as source:
        assert not source.is_live
        assert len(list(source)) == 60


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nothing", r"nothing at this path \(404\)"),
        ("locked", r"access refused \(401\)"),
        ("busy", r"\(5xx\)"),
        ("page", "not a video"),
    ],
)
def test_an_http_server_refuses_with_its_reason(http: str, path: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        open_source(f"http://{http}/{path}", timeout_s=5)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (mute_server, r"no answer within 1\.5 s"),
        (lambda: nullcontext(closed_port()), "connection refused"),
        (lambda: nullcontext("camera.invalid"), "its host is unknown"),
    ],
    ids=["mute", "closed", "unknown"],
)
def test_who_cannot_be_reached_is_named_in_one_line_in_time(
    scheme: str, server: Callable[[], AbstractContextManager[str]], reason: str
) -> None:
    begin = time.monotonic()
    with server() as address, pytest.raises(SourceError, match=reason) as caught:
        open_source(f"{scheme}://ann:hunter2@{address}/live", timeout_s=TIMEOUT_S)
    assert time.monotonic() - begin < TIMEOUT_S + 1
    assert str(caught.value).startswith(f"{scheme}://{address}/live cannot be opened: ")
    assert "hunter2" not in whole_text(caught.value)
    assert "\n" not in str(caught.value)
