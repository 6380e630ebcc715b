"""People, measured once for all tests of the renderer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import RuntimeUnavailable
from tests.conftest import missing
from train.synth.avatar import load_avatar
from train.synth.body import Body, measure
from train.synth.render import Renderer

SIZE = (180, 320)
"""(h, w) px of what `renderer` draws."""


@pytest.fixture(scope="session")
def avatars(shared: Path) -> Path:
    """The folder with the people's GLB files and pictures."""
    return shared / "avatars"


@pytest.fixture(scope="session")
def man(avatars: Path) -> Body:
    """A man whose face moves by bones."""
    return measure(load_avatar(avatars, "m002"))


@pytest.fixture(scope="session")
def woman(avatars: Path) -> Body:
    """A woman in a cardigan, the widest trunk of all."""
    return measure(load_avatar(avatars, "f009"))


@pytest.fixture(scope="session")
def mime(avatars: Path) -> Body:
    """The woman whose face moves by blend shapes."""
    return measure(load_avatar(avatars, "f001"))


@pytest.fixture(scope="session")
def people(man: Body, woman: Body) -> tuple[Body, ...]:
    """Two who differ in build."""
    return (man, woman)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    """One graphics context for all."""
    try:
        with Renderer(SIZE) as renderer:
            yield renderer
    except RuntimeUnavailable as error:
        missing("SHARED", str(error))
