"""The whole chain in small: the README's own lines, from rendered clips to a measured bundle."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engines.bundle import load_bundle
from realtime.perception.models import PerceptionModels
from tests.conftest import PROJECT, missing
from train.checkpoint import checkpoint_file, load_checkpoint
from train.recipes import demo
from train.store import open_store

BUNDLE = Path("runs/mini/bundle")


def lines() -> list[str]:
    """The first block of `From data to a bundle`, without installation and comments."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## From data to a bundle")[1]
    block = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0]
    return [line for line in block.splitlines() if line.startswith("python ")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readme_leads_from_rendered_clips_to_a_bundle_with_figures(
    shared: Path, perception_models: PerceptionModels, tmp_path: Path
) -> None:
    try:
        from train.synth.render import Renderer

        Renderer((96, 96)).close()
    except Exception as error:
        missing("RENDERER", f"nothing can be rendered: {error}")
    commands = lines()
    assert [shlex.split(line)[3] for line in commands] == [
        "synth", "prepare", "show", "fit", "export", "calibrate", "evaluate", "info", "verify",
    ]  # fmt: skip
    for line in commands:
        words = shlex.split(line.replace("$AVATARS", shlex.quote(str(shared / "avatars"))))
        run = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=False,
        )  # fmt: skip
        assert run.returncode == 0, f"{line}\n{run.stdout}\n{run.stderr}"
    store = open_store(tmp_path / "runs/mini/store")
    assert len(store.videos()) == 40
    assert {video.split for video in store.videos()} == {"train", "val", "test"}
    assert (tmp_path / "runs/mini/windows.png").stat().st_size > 10_000
    report = json.loads((tmp_path / "runs/mini/report/report.json").read_text(encoding="utf-8"))
    tested = len(store.videos("test"))
    manifest = load_bundle(tmp_path / BUNDLE).manifest
    measured = {metrics.task: metrics for metrics in manifest.metrics}
    assert measured["micro_gesture"].n == tested
    assert measured["micro_gesture"].split == "rendered people, layout A, test"
    assert measured["micro_gesture"].top1 == pytest.approx(report["trimmed"]["top1"]["value"])
    assert not manifest.source.is_untrained
    assert manifest.source.data == "40 rendered clips"
    temperatures = {output.task: output.temperature for output in manifest.outputs}
    assert set(temperatures) == {"micro_gesture", "emotion"}
    assert temperatures["micro_gesture"] != 1.0
    fitted = load_checkpoint(tmp_path / "runs/mini/fit/fusion/best.pt", demo())
    kept = load_checkpoint(checkpoint_file(tmp_path / BUNDLE), demo())
    assert kept.keys() == fitted.keys()
    for name, weights in fitted.items():
        torch.testing.assert_close(kept[name].to(weights.dtype), weights, rtol=1e-3, atol=1e-6)
