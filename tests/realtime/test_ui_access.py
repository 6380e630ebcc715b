"""Who may open the live socket, and who may choose a source."""

import struct

import pytest

from realtime.errors import SourceError
from realtime.ui.access import Access, is_loopback
from realtime.ui.guest import MAX_MESSAGE_BYTES, parse_picture

LOCAL = Access("127.0.0.1", has_login=False, is_shared=False)
LAN = Access("0.0.0.0", has_login=False, is_shared=False)


@pytest.mark.parametrize(
    ("access", "headers", "may_choose"),
    [
        (LOCAL, {}, True),
        (LOCAL, {"x-forwarded-for": "203.0.113.9"}, False),
        (LAN, {}, False),
        (Access("0.0.0.0", has_login=True, is_shared=False), {}, True),
        (Access("127.0.0.1", has_login=True, is_shared=True), {}, False),
        (Access("127.0.0.1", has_login=False, is_shared=True), {}, False),
    ],
)
def test_sources_are_chosen_locally_or_after_a_login_but_never_through_a_share_link(
    access: Access, headers: dict[str, str], may_choose: bool
) -> None:
    assert access.may_choose(headers) is may_choose


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("http://127.0.0.1:7860", "127.0.0.1:7860", True),
        ("http://localhost:7860", "localhost:7860", True),
        ("http://[::1]:7860", "[::1]:7860", True),
        ("http://127.0.0.1:8000", "127.0.0.1:7860", False),
        ("https://evil.example", "127.0.0.1:7860", False),
        ("null", "127.0.0.1:7860", False),
        ("", "127.0.0.1:7860", False),
        ("", "", False),
        # A foreign name that resolves to this machine: Origin and Host agree.
        ("http://evil.example:7860", "evil.example:7860", False),
    ],
)
def test_only_pages_from_the_own_address_open_the_socket(
    origin: str, host: str, is_same: bool
) -> None:
    assert LOCAL.is_same_origin({"origin": origin, "host": host}) is is_same


def test_a_page_without_an_origin_header_is_refused() -> None:
    assert not LOCAL.is_same_origin({"host": "127.0.0.1:7860"})


def test_behind_a_proxy_the_forwarded_host_counts_and_with_a_login_any_name_does() -> None:
    access = Access("127.0.0.1", has_login=True, is_shared=False)
    headers = {
        "origin": "https://tells.example",
        "host": "127.0.0.1:7860",
        "x-forwarded-host": "tells.example",
    }
    assert access.is_same_origin(headers)
    assert not access.is_same_origin(headers | {"origin": "https://evil.example"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("pc", False)],
)
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("data", [b"", b"\0" * 8, bytes(MAX_MESSAGE_BYTES + 1)])
def test_a_browsers_picture_has_bounds(data: bytes) -> None:
    with pytest.raises(SourceError, match=f"got {len(data)}"):
        parse_picture(data)


def test_a_browsers_picture_is_a_time_and_a_jpeg() -> None:
    assert parse_picture(struct.pack("<d", 2.5) + b"jpeg") == (2.5, b"jpeg")
