"""One bundle on several devices in one run: what each computes and how fast."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from engines.bench import BenchReport
from engines.bundle import load_bundle
from engines.engine import Engine, open_engine
from engines.errors import BundleError, GpuError, RuntimeUnavailable
from engines.runtimes import Precision, split_device
from engines.verify import Deviation, Parity

EVERY_DEVICE = ("cpu", "ort", "cuda:0", "ort-cuda:0")
"""What `--device all` stands for."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Absent:
    """A device that was asked for and did not do the work."""

    device: str
    why: str
    """One line with the cure."""


@dataclass(frozen=True)
class SideBySide(Generic[Result]):
    """What was found on each device that works, in the order asked for, and which do not."""

    results: tuple[Result, ...]
    absent: tuple[Absent, ...]


def on_each(
    folder: str | os.PathLike[str],
    devices: Sequence[str],
    work: Callable[[Engine], Result],
    *,
    precision: Precision | None = None,
    can_be_none: bool = False,
) -> SideBySide[Result]:
    """Do some work on one device after the other, each opened alone.

    Args:
        folder: the bundle's.
        devices: as in `open_runtime`, or `all`.
        work: done with each opened engine.
        precision: for all of them; None takes each device's fastest.
        can_be_none: whether it is of use to know that no device is there.

    Raises:
        RuntimeUnavailable: there is no device of such a name; or one was named, and it is not
            there; or of several there is none (but see `can_be_none`).
        BundleError: the bundle cannot be used.
    """
    named = [d for name in devices for d in (EVERY_DEVICE if name == "all" else (name,))]
    for device in named:
        if device != "auto":
            split_device(device)  # a mistyped name is told before minutes of work on the others
    load_bundle(folder)  # where it is at fault, no device is
    results: list[Result] = []
    absent: list[Absent] = []
    for device in dict.fromkeys(named):
        try:
            with open_engine(folder, device, precision=precision) as engine:
                results.append(work(engine))
        except (RuntimeUnavailable, GpuError, BundleError) as error:
            if len(named) == 1 and not can_be_none:
                raise
            absent.append(Absent(device, str(error)))
    if not results and not can_be_none:
        raise RuntimeUnavailable("; ".join(f"{a.device}: {a.why}" for a in absent))
    return SideBySide(tuple(results), tuple(absent))


def bench_table(found: SideBySide[BenchReport]) -> str:
    """Runtimes as rows, batch sizes as columns: median ms of a call, and windows per second."""
    lines = [report.to_table() + "\n" for report in found.results]
    if len(found.results) > 1:
        batches = sorted({t.batch for report in found.results for t in report.throughputs})
        width = max(len(report.runtime) for report in found.results)
        heads = "".join(f"{f'batch {b}':>24}" for b in batches)
        lines.append(f"{'side by side':<{width}}{heads}")
        for report in found.results:
            cells = "".join(f"{_cell(report, batch):>24}" for batch in batches)
            lines.append(f"{report.runtime:<{width}}{cells}")
    return "\n".join([*lines, *_absent_lines(found.absent)]).rstrip()


def bench_json(found: SideBySide[BenchReport]) -> str:
    """One report as it is; several, or any absent device, as an object of both lists."""
    if len(found.results) == 1 and not found.absent:
        return found.results[0].to_json()
    return json.dumps(asdict(found), indent=2)


def parity_table(parity: Parity) -> str:
    """What one runtime computes, tensor by tensor, beside what torch did."""

    def line(what: str, deviation: Deviation) -> str:
        verdict = "ok" if deviation.is_ok else "FAILED"
        return (
            f"{what:<8}{deviation.name:<24}{deviation.error:>10.2e}{deviation.allowed:>10.1e}"
            f"  {verdict}"
        )

    lines = [
        f"{parity.bundle} on {parity.runtime}: {parity.num_windows} golden windows, "
        f"top-1 agrees on {parity.agreement:.0%}",
        f"{'':<8}{'':<24}{'error/std':>10}{'allowed':>10}",
        *(line("feed", d) for d in parity.feeds),
        *(line("output", d) for d in parity.outputs),
        "ok: the runtime reproduces torch"
        if parity.is_ok
        else "FAILED: do not use this bundle here",
    ]
    return "\n".join(lines)


def verify_table(found: SideBySide[Parity]) -> str:
    """Each runtime in one line: its worst output, what is allowed, whether classes agree."""
    width = max((len(parity.runtime) for parity in found.results), default=0)
    lines = [f"{'':<{width}}{'error/std':>12}{'allowed':>10}{'top-1':>8}"]
    for parity in found.results:
        worst = max(parity.outputs, key=lambda d: d.error)
        verdict = "ok" if parity.is_ok else "FAILED"
        lines.append(
            f"{parity.runtime:<{width}}{worst.error:>12.2e}{worst.allowed:>10.1e}"
            f"{parity.agreement:>8.0%}  {verdict}"
        )
    return "\n".join([*lines, *_absent_lines(found.absent)])


def _cell(report: BenchReport, batch: int) -> str:
    p50 = [x.p50_ms for x in report.latencies if (x.batch, x.stage) == (batch, "total")]
    rate = [t.windows_per_s for t in report.throughputs if t.batch == batch]
    return f"{p50[0]:.2f} ms {rate[0]:8.1f} w/s" if p50 and rate else "-"


def _absent_lines(absent: Sequence[Absent]) -> list[str]:
    return [f"not there: {a.device}: {a.why}" for a in absent]
