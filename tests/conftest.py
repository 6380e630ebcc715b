"""What the tests need from outside the project, and what happens where it is missing.

A test that needs the shared folder, an RTSP server, a browser or a GPU is skipped with its reason
where there is none, and fails where `TELLS_REQUIRE_<WHAT>=1` is set, which `.ci/run` does.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.rtsp import RtspServers, why_not

PROJECT = Path(__file__).parents[1]


def missing(what: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where `TELLS_REQUIRE_<what>=1` says that it must run."""
    if os.environ.get(f"TELLS_REQUIRE_{what}") == "1":
        pytest.fail(f"TELLS_REQUIRE_{what}=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the project with media and parity fixtures."""
    path = PROJECT.parent / "shared"
    if not path.is_dir():
        missing("SHARED", "there is no folder ../shared beside the project")
    return path


@pytest.fixture
def rtsp_server(tmp_path: Path) -> Iterator[RtspServers]:
    """Starts RTSP servers, `url = rtsp_server(file, user_pass=None)`, and ends them."""
    if reason := why_not():
        missing("RTSP", reason)
    folder = tmp_path / "rtsp"
    folder.mkdir()
    servers = RtspServers(folder)
    yield servers
    servers.stop_all()
