"""The plan cache: what goes in comes out, and nothing else comes out."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engines.errors import CompileError, PlanMissing, PlanTampered
from engines.plan_cache import PlanCache, PlanKey, user_plan_cache
from tests.conftest import PROJECT

KEY = PlanKey(
    graph="ab" * 32, precision="fp16", batches=(1, 4), tensorrt="10.13.3", gpu="NVIDIA H200",
    capability="9.0", driver="13.0",
)  # fmt: skip
PLAN = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "cache" / "plans", tmp_path / "config" / "plan.key")


def test_a_stored_plan_comes_back_and_is_listed(cache: PlanCache) -> None:
    with pytest.raises(PlanMissing):
        cache.load(KEY)
    cache.store(KEY, b"older")
    path = cache.store(KEY, PLAN)
    assert cache.load(KEY) == PLAN
    assert cache.keys() == [KEY]
    assert [p.name for p in cache.folder.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "change",
    [
        {"graph": "cd" * 32}, {"precision": "bf16"}, {"batches": (4, 1)}, {"tensorrt": "10.13.4"},
        {"gpu": "NVIDIA H100"}, {"capability": "8.9"}, {"driver": "12.9"}, {"recipe": 0},
    ],
    ids=lambda c: next(iter(c)),
)  # fmt: skip
def test_another_key_is_another_plan(cache: PlanCache, change: dict[str, object]) -> None:
    cache.store(KEY, PLAN)
    other = replace(KEY, **change)  # type: ignore[arg-type]
    with pytest.raises(PlanMissing):
        cache.load(other)
    # Nor does a plan fit that was moved to the other one's place.
    cache.path(KEY).rename(cache.path(other))
    with pytest.raises(PlanTampered):
        cache.load(other)
    assert cache.keys() == []


def test_every_changed_byte_is_noticed(cache: PlanCache) -> None:
    path = cache.store(KEY, b"plan")
    sealed = path.read_bytes()
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 0x20
        path.write_bytes(damaged)
        with pytest.raises(PlanTampered, match="compile"):
            cache.load(KEY)
    for kept in range(len(sealed)):
        path.write_bytes(sealed[:kept])
        with pytest.raises(PlanTampered):
            cache.load(KEY)
    path.write_bytes(sealed + b"!")
    with pytest.raises(PlanTampered):
        cache.load(KEY)


def test_a_plan_sealed_with_another_key_is_refused(cache: PlanCache, tmp_path: Path) -> None:
    forger = PlanCache(cache.folder, tmp_path / "forger" / "plan.key")
    forger.store(KEY, PLAN)
    with pytest.raises(PlanTampered):
        cache.load(KEY)
    cache.store(KEY, PLAN)
    assert cache.load(KEY) == PLAN


def test_the_key_is_made_once_and_for_this_user_alone(cache: PlanCache) -> None:
    cache.store(KEY, PLAN)
    key = cache.key_file.read_bytes()
    assert len(key) == 32
    assert cache.key_file.stat().st_mode & 0o777 == 0o600
    cache.store(replace(KEY, batches=(1,)), PLAN)
    assert cache.key_file.read_bytes() == key


def test_a_key_that_others_can_read_or_that_is_cut_is_refused(cache: PlanCache) -> None:
    cache.store(KEY, PLAN)
    cache.key_file.chmod(0o640)
    with pytest.raises(PlanTampered, match="mode 640"):
        cache.load(KEY)
    cache.key_file.chmod(0o600)
    cache.key_file.write_bytes(b"short")
    with pytest.raises(PlanTampered, match="expected a key of 32 bytes, got 5"):
        cache.load(KEY)


def test_timings_are_kept_apart_and_distrusted_in_silence(cache: PlanCache) -> None:
    assert cache.load_timings("10.13 H200") == b""
    cache.store_timings("10.13 H200", b"timings")
    assert cache.load_timings("10.13 H200") == b"timings"
    assert cache.load_timings("10.14 H200") == b""
    (path,) = cache.folder.glob("*.timings")
    path.write_bytes(path.read_bytes() + b"!")
    assert cache.load_timings("10.13 H200") == b""
    assert cache.keys() == []


def test_many_who_begin_at_once_agree_on_one_key(cache: PlanCache) -> None:
    """Threads of one process, each with a cache of its own: as many first uses at one moment."""
    gate = threading.Barrier(8)
    keys = [replace(KEY, batches=(n,)) for n in range(1, 9)]

    def store(key: PlanKey) -> None:
        gate.wait()
        PlanCache(cache.folder, cache.key_file).store(key, PLAN)

    threads = [threading.Thread(target=store, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cache.load(key) for key in keys] == [PLAN] * 8


BUILDER = """
import json, sys, time
from pathlib import Path
from engines.errors import PlanMissing
from engines.plan_cache import PlanCache, PlanKey
folder = Path(sys.argv[1])
KEY = PlanKey(**json.loads(sys.argv[2]))
cache = PlanCache(folder / "plans", folder / "plan.key")
with cache.lock(KEY):
    try:
        cache.load(KEY)
        print("found")
    except PlanMissing:
        with (folder / "builders").open("a") as file:
            file.write("x")
        time.sleep(0.5)
        cache.store(KEY, b"plan")
        print("built")
"""


def test_of_two_builders_one_builds_and_the_other_waits_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(tmp_path), KEY.text()]
    builders = [
        subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = sorted(builder.communicate(timeout=60)[0].strip() for builder in builders)
    assert said == ["built", "found"]
    assert (tmp_path / "builders").read_text() == "x"


def test_a_place_that_cannot_be_written_says_so_and_keeps_no_part(cache: PlanCache) -> None:
    cache.path(KEY).mkdir(parents=True)
    with pytest.raises(CompileError, match="cannot be written"):
        cache.store(KEY, PLAN)
    assert list(cache.folder.iterdir()) == [cache.path(KEY)]


def test_a_cache_whose_place_is_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match="cannot be made"):
        PlanCache(tmp_path / "file" / "plans", tmp_path / "plan.key").store(KEY, PLAN)


def test_the_user_s_cache_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELLS_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("TELLS_CONFIG", str(tmp_path / "k"))
    cache = user_plan_cache()
    assert (cache.folder, cache.key_file) == (tmp_path / "c" / "plans", tmp_path / "k" / "plan.key")
