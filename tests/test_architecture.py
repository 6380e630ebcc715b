"""The rules of the house that a machine can see; import directions are import-linter's."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGES = ("engines", "realtime", "train")
LONGEST_FILE, LONGEST_MODEL = 300, 400
LONGEST_FUNCTION = 60


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((PROJECT / folder).rglob("*.py"))


def test_the_packages_are_those_of_this_checkout() -> None:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(PROJECT)


def test_no_file_and_no_function_grows_beyond_its_budget() -> None:
    offenders = []
    for path in sources(*PACKAGES, "tests"):
        text = path.read_text(encoding="utf-8")
        budget = LONGEST_MODEL if "models" in path.parts else LONGEST_FILE
        if (lines := text.count("\n")) > budget:
            offenders.append(f"{path.relative_to(PROJECT)}: {lines} lines, budget {budget}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    offenders.append(f"{path.relative_to(PROJECT)}: {node.name} has {length} lines")
    assert offenders == []


def test_nobody_mocks_and_no_queue_is_unbounded() -> None:
    found = [
        f"{path.relative_to(PROJECT)}: {pattern}"
        for path in sources(*PACKAGES, "tests")
        for pattern in (r"unittest[.]mock", r"\bQueue[(][)]", r"SimpleQueue[(]", r"deque[(][)]")
        if path != Path(__file__) and re.search(pattern, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_files_are_called_by_what_they_hold() -> None:
    banned = {"utils.py", "common.py", "helpers.py", "base.py", "misc.py"}
    assert [p for p in sources(*PACKAGES, "tests") if p.name in banned] == []


def test_the_runtime_imports_without_torch_and_onnx() -> None:
    """By absence, not by reading: the imports are made to fail."""
    code = (
        "import sys\n"
        "absent = ('torch', 'onnx', 'onnxruntime', 'tensorrt', 'pycuda')\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "import engines.__main__, engines.bench, engines.verify\n"
        "import realtime.__main__, realtime.session, realtime.ui\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, timeout=120)


def test_what_the_base_install_imports_is_declared() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=\[; ]", d)[0].lower() for d in project["dependencies"]}
    # Import names that differ from their distribution's, and those that come with another's.
    distribution = {"cv2": "opencv-python", "PIL": "pillow", "pympi": "pympi-ling"}
    optional = {"onnxruntime"}
    ours = {*PACKAGES, "assets"}
    imported = set()
    for path in sources("engines", "realtime"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - ours - optional
    assert {distribution.get(name, name) for name in foreign} - declared == set()


@pytest.mark.parametrize("name", ["README.md", "assets/README.md", "assets/HISTORY.md"])
def test_links_and_files_that_the_readmes_name_exist(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((PROJECT / name).parent / target).exists(), target


def test_readme_names_both_commands() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert (
        "python3 -m venv .venv && .venv/bin/python -m pip install -e . "
        "&& .venv/bin/python -m realtime demo" in text
    )
    assert (
        'python3 -m venv .venv && .venv/bin/python -m pip install -e ".[dev]" '
        "&& .venv/bin/python -m pytest" in text
    )
