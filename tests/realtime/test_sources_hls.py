"""A camera whose pictures come as a list of files, seconds at a time."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from realtime.sources import open_source
from tests.clips import make_clip
from tests.local_servers import http_server


def test_pictures_that_come_in_pieces_are_let_out_at_their_own_pace(tmp_path: Path) -> None:
    options = {"hls_time": "3", "hls_list_size": "0", "hls_flags": "omit_endlist"}
    stamps = [i / 25 for i in range(150)]
    listed = make_clip(tmp_path / "live.m3u8", stamps, gop=75, options=options)
    with (
        http_server(listed) as address,
        open_source(f"http://{address}/hls/live.m3u8", timeout_s=3) as source,
    ):
        assert source.is_live
        frames = []
        end = time.monotonic() + 1.5
        for frame in source:
            frames.append(frame)
            if time.monotonic() > end:
                break
    steps = [b.arrived - a.arrived for a, b in pairwise(frames)]
    assert len(frames) > 20  # without pace, of each piece only the last
    assert source.num_dropped <= 5
    assert np.median(steps) > 0.02
    assert all(b.t - a.t < 0.3 for a, b in pairwise(frames))
