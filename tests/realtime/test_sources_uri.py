import os
import re
from pathlib import Path

import pytest

from realtime.errors import SourceError
from realtime.sources import open_source
from realtime.sources.uri import for_ffmpeg, name_of_file, without_credentials
from tests.clips import make_clip

MISTYPED = {
    "rtsp:/admin:s3cret@cam": "cam",
    "rtsp:admin:s3cret@cam": "cam",
    "RTSP:\\\\admin:s3cret@cam": "cam",
    "rtsp//admin:s3cret@cam/x": "cam/x",
    " rtsp://admin:s3cret@cam/x": "cam/x",
    "admin:s3cret@rtsp://cam/x": "rtsp://cam/x",
    "rtsp:/admin:s3cret@cam/x?next=http://y": "cam/x?next=http://y",
    "rtsp:/cam/x?user=admin&password=s3cret": "rtsp:/cam/x?user=admin&password=***",
    "admin:s3cret@192.0.2.5/stream": "192.0.2.5/stream",
    "admin:s3@s3cret@192.0.2.5": "192.0.2.5",
    "admin:s3cret@": "***",
    "~admin:s3cret@cam": "cam",
    "webcam:admin:s3cret@cam": "cam",
    "file://admin:s3cret@host/x": "file://host/x",
    "file://admin:s3cret@[host/x": "file://[host/x",
    "test://admin:s3cret@host": "test://host",
    "test://admin:s3cret@\u2100": "test://\u2100",
    "test://?password=s3cret": "test://?password=***",
    "test://?fps=admin:s3cret@cam": "test://cam",
    "test://?admin:s3cret@cam": "test://cam",
}
"""Addresses that are none, and what is shown of them."""
SECRETS = ("hunter2", "s3/cr", "s3@cr", "s3%40cr", "50%", "x#y", "a?b", "12/34", "p:q")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtsps"])
def test_no_part_of_a_pasted_password_is_shown(secret: str, scheme: str) -> None:
    shown = without_credentials(f"{scheme}://admin:{secret}@10.0.0.5:554/Streaming/101")
    assert shown == f"{scheme}://10.0.0.5:554/Streaming/101"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://10.0.0.5/live", "rtsp://10.0.0.5/live"),
        ("rtsp://admin@10.0.0.5/live", "rtsp://10.0.0.5/live"),
        ("rtsp://a:b@x/c@10.0.0.5/live", "rtsp://10.0.0.5/live"),
        ("http://host/@name/video", "http://host/@name/video"),
        ("http://[::1]:8080/v?a=1", "http://[::1]:8080/v?a=1"),
        ("http://h/v?user=me&password=s3/c#r&x=1", "http://h/v?user=me&password=***&x=1"),
        ("http://h/v.cgi?usr=me&pwd=s3cr", "http://h/v.cgi?usr=me&pwd=***"),
        ("http://h/v?access_token=s3cr", "http://h/v?access_token=***"),
        ("rtsp://h:554/user=admin&password=s3cr&channel=1", "rtsp://h:554/user=admin&password=***&channel=1"),
        ("rtsp://h/user=admin_password=s3cr_channel=1.sdp", "rtsp://h/user=admin_password=***"),
        ("clip@home.mp4", "clip@home.mp4"),
        ("test://?fps=30", "test://?fps=30"),
    ],
)  # fmt: skip
def test_what_is_shown_of_a_uri(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


@pytest.mark.parametrize(("uri", "shown"), MISTYPED.items())
def test_no_password_of_a_mistyped_address_is_shown(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown
    with pytest.raises(SourceError, match=re.escape(shown)) as caught:
        open_source(uri, timeout_s=1)
    assert "s3cret" not in str(caught.value)
    assert "admin:" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_neither_a_path_of_a_url_nor_one_with_an_impossible_name_shows_a_password() -> None:
    for uri in ("file:///admin:s3cret@cam", "file:///password%3Ds3cret", "a:s3cret@b\0"):
        with pytest.raises(SourceError) as caught:
            open_source(uri)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["me@home.mp4", "12:30 me@home.mp4", "key=3.mp4"])
def test_a_file_is_called_by_its_whole_name_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    if ":" in name and os.name == "nt":
        pytest.skip("Windows allows no colon in a name")
    path = make_clip(tmp_path / name, [0, 0.1, 0.2])
    for uri in (str(path), path.as_uri()):
        with open_source(uri) as source:
            assert source.id == name_of_file(path) == str(path)
            assert len(list(source)) == 3
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=re.escape(f"{path} is empty")):
        open_source(str(path))


def test_a_name_that_is_not_utf8_is_shown_in_characters_that_can_be_written() -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    assert without_credentials(name) == name_of_file(Path(name)) == "caf?.mp4"
    assert name_of_file(Path("\ud800.mp4")) == "?.mp4"


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("rtsp://u:p@h/live", "rtsp://u:p@h/live"),
        ("rtsp://h:8554/live", "rtsp://h:8554/live"),
        ("rtsp://u:p@q@h/live", "rtsp://u:p%40q@h/live"),
        ("rtsp://u:p/q@h/live", "rtsp://u:p%2Fq@h/live"),
        ("rtsp://u:p@q/r@h:554/live", "rtsp://u:p%40q%2Fr@h:554/live"),
        ("rtsp://u:p?q#r@h/live", "rtsp://u:p%3Fq%23r@h/live"),
        ("rtsp://u:p%40q@h/live", "rtsp://u:p%40q@h/live"),
        ("rtsp://u:50%@h/live", "rtsp://u:50%25@h/live"),
        ("http://h:8080/@me/v", "http://h:8080/@me/v"),
        ("http://u@h/v", "http://u@h/v"),
        ("http://[::1]:80/v", "http://[::1]:80/v"),
        ("RTSP://ann:Pw@Cam/A", "rtsp://ann:Pw@Cam/A"),
    ],
)
def test_ffmpeg_gets_a_url_that_it_splits_as_a_person_would(uri: str, opened: str) -> None:
    assert for_ffmpeg(uri) == opened


@pytest.mark.parametrize(
    "uri", ["rtsp://", "http:///x", "http://h:99999/x", "http://h:0/", "rtsp://u:pw@"]
)
def test_a_url_without_host_or_with_an_impossible_port_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match="host") as caught:
        for_ffmpeg(uri)
    assert "pw" not in str(caught.value)
