"""What is special about OpenVINO; what all runtimes have in common: test_runtimes."""

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT


def test_a_signal_is_survived_after_two_runtimes_have_gone_in_any_order(tiny: Path) -> None:
    """Each plugin of openvino 2026.4 brings a signal stack, and may leave a freed one behind."""
    code = (
        "import gc, signal\n"
        "from engines.engine import open_engine\n"
        f"first, second = (open_engine({str(tiny)!r}, 'cpu') for _ in range(2))\n"
        "first.close(); del first; gc.collect()\n"
        "second.close(); del second; gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == "handled\n"


def test_openvino_is_imported_in_one_place_only() -> None:
    found = [
        str(path.relative_to(PROJECT))
        for folder in ("engines", "realtime", "train", "tests")
        for path in sorted((PROJECT / folder).rglob("*.py"))
        if re.search(r"^\s*(import|from) openvino\b", path.read_text(encoding="utf-8"), re.M)
    ]
    assert found == [str(Path("engines", "runtimes", "openvino.py"))]
