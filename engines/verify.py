"""Golden vectors through a runtime: does it compute what torch computed?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine
from engines.errors import ParityError
from engines.manifest import Golden
from engines.preprocess import preprocess
from engines.tensor_specs import FeedArray

FEED_ATOL = 1e-4
"""Mean |difference| of a feed, in units of its standard deviation, between machines.

Pixels are bytes or go through tables, and are equal to the bit. Only where frames are resized, in
float32, some values in ten thousand lie so near to a half that another processor's rounding moves
them by a grey level."""


@dataclass(frozen=True)
class Deviation:
    """How far one array is from its golden one."""

    name: str
    error: float
    """Largest (of a feed: mean) |difference| over the golden array's standard deviation."""
    excess: float
    """The same after the relative part of the tolerance has been taken off."""
    allowed: float
    """`excess` must not be more."""

    @property
    def is_ok(self) -> bool:
        """True within the tolerance; a NaN is not."""
        return self.excess <= self.allowed


@dataclass(frozen=True)
class Parity:
    """What `verify` found."""

    bundle: str
    runtime: str
    num_windows: int
    feeds: tuple[Deviation, ...]
    """This machine's `preprocess` against the golden feeds."""
    outputs: tuple[Deviation, ...]
    """The runtime against torch: golden feeds as one batch, and golden windows one by one."""
    agreement: float
    """Share, 0..1, of golden windows and outputs whose likeliest class is torch's."""

    @property
    def is_ok(self) -> bool:
        """True if everything lies within the manifest's tolerance."""
        return all(d.is_ok for d in (*self.feeds, *self.outputs))

    def check(self) -> None:
        """Do nothing if everything is within the tolerance.

        Raises:
            ParityError: naming the worst array.
        """
        if not self.is_ok:
            bad = [d for d in (*self.feeds, *self.outputs) if not d.is_ok]
            worst = max(bad, key=lambda d: d.excess / d.allowed)
            raise ParityError(
                f"{self.bundle} on {self.runtime}: {worst.name} differs from its golden vectors by "
                f"{worst.error:.2g} standard deviations, {worst.allowed:.2g} are allowed"
            )


def verify(engine: Engine) -> Parity:
    """Replay the bundle's golden vectors through an opened engine.

    Raises:
        BundleError: the golden file cannot be used.
    """
    golden = engine.bundle.golden()
    tolerance = engine.manifest.golden
    made = [preprocess([window], engine.manifest) for window in golden.windows]
    feeds = [
        _feed_deviation(name, np.concatenate([feed[name] for feed in made]), array)
        for name, array in golden.feeds.items()
    ]
    batch = engine.runtime.run(golden.feeds)
    singles = [engine.runtime.run(feed) for feed in made]
    low_precision = engine.runtime.precision != "fp32"
    outputs: list[Deviation] = []
    agreeing: list[NDArray[np.bool_]] = []
    for name, expected in golden.outputs.items():
        single = np.concatenate([outputs[name] for outputs in singles])
        same = [got.argmax(axis=1) == expected.argmax(axis=1) for got in (batch[name], single)]
        agreeing.append(same[0] & same[1])
        outputs.append(
            max(
                (
                    _output_deviation(name, got, expected, tolerance, low_precision)
                    for got in (batch[name], single)
                ),
                key=lambda d: np.nan_to_num(d.excess, nan=np.inf),
            )
        )
    return Parity(
        bundle=engine.manifest.id,
        runtime=engine.runtime.description,
        num_windows=len(golden.windows),
        feeds=tuple(feeds),
        outputs=tuple(outputs),
        agreement=float(np.mean(agreeing)),
    )


def output_std(values: FeedArray) -> float:
    """The unit of an array's errors: its standard deviation, 1 where it is constant."""
    return float(values.std(dtype=np.float64)) or 1.0


def _output_deviation(
    name: str,
    got: NDArray[np.float32],
    expected: NDArray[np.float32],
    tolerance: Golden,
    low_precision: bool,
) -> Deviation:
    std = output_std(expected)
    error = np.abs(got.astype(np.float64) - expected) / std
    excess = error - tolerance.rtol * np.abs(expected.astype(np.float64)) / std
    return Deviation(
        name=name,
        error=float(error.max()),
        excess=float(excess.max()),
        allowed=tolerance.low_precision_atol if low_precision else tolerance.atol,
    )


def _feed_deviation(name: str, got: FeedArray, expected: FeedArray) -> Deviation:
    error = float(np.abs(got.astype(np.float64) - expected).mean()) / output_std(expected)
    return Deviation(name=name, error=error, excess=error, allowed=FEED_ATOL)
