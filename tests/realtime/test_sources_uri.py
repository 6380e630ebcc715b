import pytest

from realtime.errors import SourceError
from realtime.sources.uri import for_ffmpeg, without_credentials

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
