"""What the tests need from outside the project, and what happens where it is missing.

A test that needs the shared folder, an RTSP server, a browser or a GPU is skipped with its reason
where there is none, and fails where `TELLS_REQUIRE_<WHAT>=1` is set, which `.ci/run` does.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

# A machine that is lent for its GPU has neither a browser nor cameras, nor their libraries.
if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from realtime.perception.models import PerceptionModels
    from tests.rtsp import RtspServers

_CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync "
    # A camera with a clock on a green ground; pages may use it as far as their context allows.
    "--use-fake-device-for-media-stream"
)

PROJECT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Hear Ctrl-C, which several tests press: jobs that a shell runs behind it are born deaf."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def perception_models() -> "PerceptionModels":
    """The pose and face model, from the user's cache, which the first use fills."""
    from realtime.errors import PerceptionError
    from realtime.perception.models import load_models

    try:
        return load_models()
    except PerceptionError as error:
        missing("MODELS", str(error))


@pytest.fixture
def rtsp_server(tmp_path: Path) -> "Iterator[RtspServers]":
    """Starts RTSP servers, `url = rtsp_server(file, user_pass=None)`, and ends them."""
    from tests.rtsp import RtspServers, why_not

    if reason := why_not():
        missing("RTSP", reason)
    folder = tmp_path / "rtsp"
    folder.mkdir()
    servers = RtspServers(folder)
    yield servers
    servers.stop_all()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium without a window, with a fake camera."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing("BROWSER", f"there is none of {', '.join(names)}")
    # Not for the whole session: while it runs, this thread has an event loop.
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=_CHROMIUM_FLAGS.split(), timeout=60_000
        )
        yield chromium
        chromium.close()
