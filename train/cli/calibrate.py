"""`python -m train calibrate`: temperature and thresholds into a bundle."""

import argparse
from pathlib import Path

from train.cli import Subparsers
from train.cli.evaluate import NEEDED
from train.cli.needs import require


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("calibrate", help="temperature and thresholds into a bundle")
    parser.add_argument("--bundle", required=True, type=Path, metavar="DIR")
    parser.add_argument("--device", default="auto", help="auto, cpu, ort, cuda:0")
    parser.add_argument(
        "--data", required=True, type=Path, nargs="+", action="extend", metavar="DIR",
        help="prepared",
    )  # fmt: skip
    parser.add_argument("--split", default="val", choices=("train", "val", "test"))
    parser.add_argument("--hop-s", type=float, default=0.25, help="between windows; default: 0.25")
    parser.add_argument("--out", type=Path, metavar="DIR", help="for calibration.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Score, fit, write, verify."""
    require("calibrate", NEEDED)
    from engines.engine import open_engine
    from engines.verify import verify
    from realtime.config import load_config
    from train.calibrate import calibrate, check_writable, write_manifest
    from train.judged import GESTURE
    from train.out_paths import check_folder
    from train.report import calibration_picture
    from train.scoring import bundle_scorer, score_stores
    from train.store import open_store

    config = load_config(hop_s=arguments.hop_s)
    check_writable(arguments.bundle)
    if arguments.out is not None:
        check_folder(arguments.out)
    stores = [open_store(folder) for folder in arguments.data]
    with bundle_scorer(arguments.bundle, arguments.device) as scorer:
        scored = score_stores(scorer, stores, arguments.split, arguments.hop_s)
        manifest, found = calibrate(scored, scorer.manifest, config)
    for item in found:
        among = ", background included" if item.task == GESTURE else ""
        print(
            f"{item.task}: temperature {item.temperature:.3f}, on {item.thresholds.on}, "
            f"off {item.thresholds.off}; ECE {item.before.ece:.3f} -> {item.after.ece:.3f} "
            f"(single windows{among}); {item.goal_name} {item.goal:.3f}"
        )
    write_manifest(arguments.bundle, manifest)
    if manifest.metrics != scorer.manifest.metrics:
        print("the manifest's ECE was of before and is gone; `evaluate --write` measures it anew")
    with open_engine(arguments.bundle, arguments.device) as engine:
        verify(engine).check()
    if arguments.out is not None:
        calibration_picture(found, arguments.out / "calibration.png")
        print(f"reliability in {arguments.out / 'calibration.png'}")
