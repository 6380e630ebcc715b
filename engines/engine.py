"""Engine: an opened bundle, ready to turn windows into scores."""

import os
import time
from collections.abc import Collection, Sequence

from engines.bundle import Bundle, load_bundle
from engines.closing import Closing
from engines.errors import GraphMismatch
from engines.manifest import Manifest
from engines.postprocess import Scores, postprocess
from engines.preprocess import preprocess
from engines.runtimes import Precision, Runtime, TensorSpec, open_runtime
from engines.window import Window

STAGES = ("preprocess", "runtime", "postprocess")


class Engine(Closing):
    """A bundle and the runtime that executes its graph.

    Called by the thread that opened the runtime, and by no other.

    Raises:
        GraphMismatch: the graph's inputs or outputs are not the manifest's.
    """

    def __init__(
        self, bundle: Bundle, runtime: Runtime, *, tasks: Collection[str] | None = None
    ) -> None:
        """`tasks`: those that are wanted, None for all; what is computed of others is not read."""
        manifest = bundle.manifest
        graph = bundle.graph_path("fp32")
        dtypes = manifest.feed_dtypes
        feeds = {n: TensorSpec((None, *s), dtypes[n]) for n, s in manifest.feeds.items()}
        logits = {
            o.name: TensorSpec((None, len(o.class_names)), "float32") for o in manifest.outputs
        }
        _compare(f"{graph}: input", feeds, dict(runtime.inputs))
        _compare(f"{graph}: output", logits, dict(runtime.outputs))
        self.bundle = bundle
        self.runtime = runtime
        self._tasks = tasks
        self.stage_times_s: tuple[float, ...] = (0.0,) * len(STAGES)
        """Seconds that the last call took in each of `STAGES`."""

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    def __call__(self, windows: Sequence[Window]) -> list[dict[str, Scores]]:
        """The scores of each window, wanted task -> scores; the windows run as one batch.

        Raises:
            WindowError: a window that does not fit the manifest.
            BundleError: the graph computed something that is no finite number.
        """
        if not windows:
            return []
        started = time.perf_counter()
        feeds = preprocess(windows, self.manifest)
        fed = time.perf_counter()
        outputs = self.runtime.run(feeds)
        run = time.perf_counter()
        scores = postprocess(outputs, self.manifest, windows, self._tasks)
        self.stage_times_s = (fed - started, run - fed, time.perf_counter() - run)
        return scores

    def close(self) -> None:
        """Close the runtime."""
        self.runtime.close()


def open_engine(
    folder: str | os.PathLike[str],
    device: str = "auto",
    *,
    precision: Precision | None = None,
    tasks: Collection[str] | None = None,
) -> Engine:
    """Load the bundle in that folder and open it on a device (see `open_runtime`).

    Raises:
        BundleError: the bundle cannot be used.
        RuntimeUnavailable: the device or its library is not there.
    """
    bundle = load_bundle(folder)
    runtime = open_runtime(bundle, device, precision=precision)
    try:
        return Engine(bundle, runtime, tasks=tasks)
    except GraphMismatch:
        runtime.close()
        raise


def _compare(what: str, want: dict[str, TensorSpec], have: dict[str, TensorSpec]) -> None:
    for name in [*want, *have]:
        if want.get(name) != have.get(name):
            raise GraphMismatch(
                f"{what} {name}: the manifest says {want.get(name, 'nothing')}, "
                f"the graph {have.get(name, 'nothing')}; export the bundle again"
            )
