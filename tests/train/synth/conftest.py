"""People, measured once for all tests of the renderer."""

from pathlib import Path

import pytest

from train.synth.avatar import load_avatar
from train.synth.body import Body, measure


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
