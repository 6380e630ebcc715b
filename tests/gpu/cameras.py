"""Many cameras on one GPU: how old a prediction is when it comes out, perception not counted.

Every camera's window falls due each `hop` seconds, at an instant of its own. One thread takes those
that are due in batches, as the live predictor does, and a prediction's age is the time from that
instant to its scores: waiting, preprocessing, copies and the network. Prints one line of JSON; the
exit code is 1 where the 95th percentile is above the goal.
"""

import argparse
import json
import sys
import time

import numpy as np

from engines.bench import stand_in_window
from engines.engine import open_engine

GOAL_MS = 60.0
"""Of the 95th percentile, with 32 cameras and a hop of 0.25 s on an H200."""


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--cameras", type=int, default=32)
    parser.add_argument("--hop", type=float, default=0.25)
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    with open_engine(arguments.bundle, arguments.device) as engine:
        windows = [stand_in_window(engine.manifest, seed=s) for s in range(arguments.cameras)]
        for batch in (1, arguments.cameras):
            engine(windows[:batch])
        started = time.perf_counter()
        due = started + np.arange(arguments.cameras) / arguments.cameras * arguments.hop
        ages: list[float] = []
        batches: list[int] = []
        while (now := time.perf_counter()) < started + arguments.seconds:
            ready = np.flatnonzero(due <= now)
            if not ready.size:
                time.sleep(max(0.0, float(due.min()) - now))
                continue
            # The most overdue first, in calls no larger than the runtime takes at once, as live.
            ready = ready[np.argsort(due[ready])][: engine.runtime.max_batch]
            engine([windows[i] for i in ready])
            done = time.perf_counter()
            ages += list(done - due[ready])
            batches.append(len(ready))
            # What fell due twice meanwhile was dropped, as live: the newest window counts.
            due[ready] += (np.floor((done - due[ready]) / arguments.hop) + 1) * arguments.hop
        runtime = engine.runtime.description
    p50, p95 = (float(p) * 1e3 for p in np.percentile(ages, [50, 95]))
    found = {
        "runtime": runtime,
        "cameras": arguments.cameras,
        "hop_s": arguments.hop,
        "predictions": len(ages),
        "mean_batch": float(np.mean(batches)),
        "age_p50_ms": p50,
        "age_p95_ms": p95,
        "goal_ms": GOAL_MS,
    }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if p95 <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
