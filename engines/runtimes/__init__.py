"""What executes a bundle's graph.

A runtime belongs to the thread that opened it: no other may call it. Names, shapes and dtypes are
checked at `run`; behind it the arrays go straight to the library.
"""

import importlib.util
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import RuntimeUnavailable

Floats = NDArray[np.float32]
Feeds = Mapping[str, Floats]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of one input or output of a graph."""

    shape: tuple[int | None, ...]
    """None where any size will do: the batch."""
    dtype: str
    """numpy's name, `float32`."""

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('*' if s is None else str(s) for s in self.shape)}]"


class Runtime(Protocol):
    """An opened graph. Called by the thread that opened it, and by no other."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """What `run` takes."""

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """What `run` returns."""

    @property
    def precision(self) -> Precision:
        """In which numbers it computes; feeds and outputs are float32 always."""

    @property
    def description(self) -> str:
        """For people: library, device and precision."""

    def run(self, feeds: Feeds) -> dict[str, Floats]:
        """All outputs for a batch: new arrays, C-contiguous.

        Raises:
            ValueError: names, dtypes or shapes other than `inputs`, or values that are not finite.
            RuntimeError: called by another thread than the one that opened it, or after closing.
        """

    def close(self) -> None:
        """Release the library's memory."""

    def __enter__(self) -> Self:
        """The runtime itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""


def open_runtime(
    bundle: Bundle, device: str = "auto", *, precision: Precision | None = None
) -> Runtime:
    """Open the bundle's fp32 reference graph.

    Args:
        bundle: a loaded bundle.
        device: `cpu` (OpenVINO), `ort` (ONNX Runtime), or `auto`: the first of them that is
            installed.
        precision: None takes what is fastest there; OpenVINO computes in bf16 where the processor
            has instructions for it, ONNX Runtime always in fp32.

    Raises:
        RuntimeUnavailable: the device or its library is not there.
        GraphMismatch: the library cannot read the graph.
    """
    if device == "auto":
        device = next((d for d in ("cpu", "ort") if _is_installed(d)), "cpu")
    if device not in _LIBRARIES:
        shown = device.partition("://")[0]  # a URL may hold a password
        raise RuntimeUnavailable(
            f"Device {shown!r}: expected auto, cpu (OpenVINO) or ort (ONNX Runtime), "
            f"which are all that this version supports"
        )
    if not _is_installed(device):
        raise RuntimeUnavailable(
            f"Device {device!r} needs the library {_LIBRARIES[device]}, which is not installed: "
            f"run `python -m pip install {_LIBRARIES[device]}`"
        )
    try:
        return _open(bundle, device, precision)
    except ImportError as error:
        raise RuntimeUnavailable(
            f"Device {device!r}: the library {_LIBRARIES[device]} is installed but does not load "
            f"({first_line(error)})"
        ) from None


def first_line(error: Exception) -> str:
    """The first line of a library's message, at most 160 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _open(bundle: Bundle, device: str, precision: Precision | None) -> Runtime:
    # Imported here: each library takes a moment and need not be installed.
    if device == "cpu":
        from engines.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(bundle, precision=precision)
    from engines.runtimes.ort import OrtRuntime

    if precision not in (None, "fp32"):
        raise RuntimeUnavailable(
            f"Device 'ort' computes in fp32 only, got precision {precision!r}: use --device cpu"
        )
    return OrtRuntime(bundle)


_LIBRARIES = {"cpu": "openvino", "ort": "onnxruntime"}


def _is_installed(device: str) -> bool:
    return importlib.util.find_spec(_LIBRARIES[device]) is not None


class Owner:
    """Remembers the thread that opened a runtime, and that it is open."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = threading.current_thread()

    def check(self) -> None:
        """Raise RuntimeError in another thread, or after `close`."""
        if self._thread is None:
            raise RuntimeError("This runtime is closed")
        if self._thread is not threading.current_thread():
            raise RuntimeError(
                f"A runtime is called by the thread that opened it, {self._thread.name}; "
                f"this is {threading.current_thread().name}"
            )

    def close(self) -> None:
        """From now on `check` refuses."""
        self._thread = None


def check_feeds(feeds: Feeds, inputs: Mapping[str, TensorSpec]) -> None:
    """Compare feeds with what a runtime takes.

    Raises:
        ValueError: other names, dtypes or shapes, unequal batches, or values that are not finite.
    """
    if set(feeds) != set(inputs):
        raise ValueError(f"Feeds: expected {', '.join(inputs)}; got {', '.join(feeds) or 'none'}")
    batches = set()
    for name, spec in inputs.items():
        array = feeds[name]
        fits = len(array.shape) == len(spec.shape) and all(
            want in (None, have) for want, have in zip(spec.shape, array.shape, strict=True)
        )
        if str(array.dtype) != spec.dtype or not fits:
            raise ValueError(f"Feed {name}: expected {spec}, got {array.dtype} {list(array.shape)}")
        batches.add(array.shape[0])
        with np.errstate(invalid="ignore", over="ignore"):
            total = array.sum()  # NaN and infinity survive a sum: no array of booleans is needed
        if not np.isfinite(total):
            raise ValueError(f"Feed {name}: holds values that are not finite numbers")
    if len(batches) != 1 or 0 in batches:
        raise ValueError(f"Feeds: expected one batch size of 1 or more, got {sorted(batches)}")
