import threading
from pathlib import Path

import pytest

from realtime.config import Config, load_config
from realtime.errors import ConfigError, SourceLost
from realtime.slot import LatestSlot, SlotClosed
from realtime.stats import Latencies, Rate


def test_slot_keeps_the_newest_and_counts_what_it_drops() -> None:
    slot: LatestSlot[int] = LatestSlot()
    for i in range(5):
        slot.put(i)
    assert slot.get() == 4
    assert slot.num_dropped == 4
    assert slot.get(timeout_s=0.01) is None


def test_slot_gives_the_last_item_before_it_says_that_it_is_closed() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    slot.close()
    assert slot.get() == 1
    with pytest.raises(SlotClosed):
        slot.get()


def test_slot_hands_the_producers_error_to_the_consumer() -> None:
    slot: LatestSlot[int] = LatestSlot()
    threading.Timer(0.05, slot.close, [SourceLost("gone")]).start()
    with pytest.raises(SourceLost, match="gone"):
        slot.get(timeout_s=5)


def test_rate_counts_intervals_and_falls_when_events_stop() -> None:
    rate = Rate(span_s=2)
    for i in range(60):
        rate.tick(i / 30)
    assert rate.hz(59 / 30) == pytest.approx(30, rel=0.01)
    assert rate.hz(59.9 / 30) == pytest.approx(30, rel=0.01)
    assert rate.hz(59 / 30 + 1) < 20
    assert rate.hz(100) == 0


@pytest.mark.parametrize("interval_s", [1.4, 2.4, 10.0])
def test_rare_events_have_a_rate_too_until_they_stop(interval_s: float) -> None:
    rate = Rate()
    for i in range(6):
        rate.tick(i * interval_s)
        if i:
            assert rate.hz((i + 0.9) * interval_s) == pytest.approx(1 / interval_s, rel=0.01)
    assert rate.hz(9 * interval_s) == 0


def test_latencies_are_bounded_and_empty_ones_are_nan() -> None:
    latencies = Latencies(most=10)
    assert latencies.percentile(50) != latencies.percentile(50)
    for i in range(100):
        latencies.add(i)
    assert latencies.percentile(0) == 90


def test_flags_override_the_file_and_the_file_overrides_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "tells.toml"
    path.write_text("hop_s = 0.5\ntau_s = 1\nemotion = false\n")
    config = load_config(path, hop_s=0.125, min_s=None)
    assert (config.hop_s, config.tau_s, config.min_s) == (0.125, 1.0, Config().min_s)
    assert config.emotion is False


def test_cameras_may_stand_in_the_file_with_names_and_their_passwords_are_shown_nowhere(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tells.toml"
    path.write_text("[sources]\ndoor = 'rtsp://ann:s3cr3t@cam/1'\n\"Büro 2\" = '0'\n")
    config = load_config(path)
    assert list(config.sources) == ["door", "Büro 2"]
    assert config.names == {"rtsp://ann:s3cr3t@cam/1": "door", "0": "Büro 2"}
    assert "s3cr3t" not in repr(config)
    table = "[sources]\n"
    for text in (table + "door = ['s3cr3t']", "sources = 's3cr3t'", table + "'a/b' = 's3cr3t'"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"\[sources\] must name addresses") as caught:
            load_config(path)
        assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hop = 1", "hop: is not a known key; known keys: hop_s"),
        ("hop_s = 0", "hop_s: Input should be greater than 0, got 0"),
        ("gap_s = -1", "gap_s: Input should be greater than or equal to 0"),
        ("hop_s = nan", "hop_s: Input should be a finite number"),
        ('hop_s = "fast"', "hop_s: Input should be a valid number, got 'fast'"),
        ("hop_s = ", "is not a TOML file"),
        ("[sources]\na = '0'\nb = '0'", "[sources] gives one address two names, a and b"),
    ],
)
def test_a_bad_configuration_is_named_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tells.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_configuration_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
