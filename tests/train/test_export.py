"""Export: what is written reproduces torch, and what cannot be written leaves nothing behind."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import train.__main__
import train.cli.export
import train.export
from engines.bundle import Bundle, load_bundle
from engines.engine import open_engine
from engines.errors import BundleError
from engines.manifest import Manifest
from engines.runtimes import Precision
from engines.verify import verify
from tests.conftest import PROJECT
from tests.train.tiny_recipe import tiny
from train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from train.export import ExportOptions, export, git_revision
from train.graph import OPSET, REFUSED_NODES, ExportError, check_graph
from train.models.download import CheckpointError
from train.models.heads import Net, build_net
from train.precision import Accuracy
from train.recipes import demo, fed_floats

DEMO = PROJECT / "assets" / "demo"


def tiny_net(seed: int) -> Net:
    torch.manual_seed(seed)
    return build_net(tiny().net).eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint: random weights, at a scale that no other seed has."""
    path = tmp_path_factory.mktemp("checkpoint") / "weights.pt"
    save_checkpoint(path, tiny(), tiny_net(7).state_dict())
    return path


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> Bundle:
    """The tiny recipe with random weights."""
    out = tmp_path_factory.mktemp("export") / "new" / "bundle"
    options = ExportOptions(out=out, version="1.2", precisions=("fp16", "bf16"))
    return export(tiny(), options, steps.append)


def test_a_bundle_of_random_weights_says_so(bundle: Bundle, steps: list[str]) -> None:
    manifest = load_bundle(bundle.folder).manifest
    assert manifest.id == "tiny 1.2"
    assert manifest.source.is_untrained
    assert manifest.notes.limits.startswith("UNTRAINED")
    assert steps[-1] == "comparing ONNX Runtime with torch"
    assert [p.name for p in bundle.folder.parent.iterdir()] == [bundle.folder.name]


def test_every_runtime_reproduces_torch_for_any_batch(bundle: Bundle) -> None:
    on: tuple[tuple[str, Precision], ...] = (("ort", "fp32"), ("cpu", "fp32"))
    for device, precision in on:
        with open_engine(bundle.folder, device, precision=precision) as engine:
            verify(engine).check()
            golden = bundle.golden()
            three = engine.runtime.run({n: a[1:4] for n, a in golden.feeds.items()})
            one = engine.runtime.run({n: a[3:4] for n, a in golden.feeds.items()})
        for name, expected in golden.outputs.items():
            np.testing.assert_allclose(three[name], expected[1:4], atol=1e-4)
            np.testing.assert_allclose(one[name], expected[3:4], atol=1e-4)


def test_the_graph_is_one_plain_file_without_traces_of_this_machine(bundle: Bundle) -> None:
    path = bundle.graph_path()
    model = onnx.load(path)
    assert not {n.op_type for n in model.graph.node} & REFUSED_NODES
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert {i.name for i in model.graph.input} == set(bundle.manifest.feeds)
    assert str(PROJECT).encode() not in path.read_bytes()
    assert not any(n.metadata_props or n.doc_string for n in model.graph.node)


def test_bytes_are_cast_once_and_normalised_in_fp32_in_every_graph(bundle: Bundle) -> None:
    for graph in bundle.manifest.graphs:
        nodes, name = onnx.load(bundle.folder / graph.file).graph.node, "rgb"
        assert [n.op_type for n in nodes if name in n.input] == ["Cast"]
        low = [] if graph.precision == "fp32" else ["Cast"]
        for kind in ("Cast", "Div", "Sub", "Div", *low, "Conv"):
            (node,) = (n for n in nodes if name in n.input and n.op_type != "Shape")
            assert node.op_type == kind
            name = node.output[0]


def test_low_precision_graphs_come_with_what_they_lose(bundle: Bundle, steps: list[str]) -> None:
    reference, *low = bundle.manifest.graphs
    assert (reference.precision, reference.max_error) == ("fp32", None)
    assert [(g.precision, g.file, g.opset) for g in low] == [
        ("fp16", "model.fp16.onnx", OPSET),
        ("bf16", "model.bf16.onnx", 22),
    ]
    half, brain = (g.max_error for g in low)
    assert half is not None
    assert brain is not None
    assert 1e-5 < half < brain < 0.2
    assert sum("standard deviations of torch, top-1 agrees on" in step for step in steps) == 2
    sizes = [bundle.graph_path(g.precision).stat().st_size for g in bundle.manifest.graphs]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("lost", [0.3, float("nan")])
def test_a_low_precision_that_loses_too_much_is_refused(
    lost: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.export, "write_lower", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(train.export, "measure", lambda *_: Accuracy(lost, 0.5))
    with pytest.raises(ExportError, match=r"agrees on 50%: 0.2 are .* without --precision fp16"):
        train.export._low_graph("fp16", tmp_path, {}, {}, lambda _: None)


def test_random_weights_give_logits_that_follow_the_input(bundle: Bundle) -> None:
    for logits in bundle.golden().outputs.values():
        assert logits.std() == pytest.approx(1, abs=0.02)
        np.testing.assert_allclose(logits.mean(axis=0), 0, atol=1e-3)
        distances = np.abs(logits[:, None] - logits[None]).max(axis=2)
        assert (distances + np.eye(len(logits)) > 0.05).all()  # no two windows alike


def test_golden_windows_lack_what_they_should(bundle: Bundle) -> None:
    first, second, faceless, poseless, patchy = bundle.golden().windows
    assert all(w.has_pose.all() and w.has_face.all() for w in (first, second))
    assert not faceless.has_face.any()
    assert not poseless.has_pose.any()
    assert poseless.has_face.all()
    assert 0 < patchy.has_pose.mean() < 1
    assert 0 < patchy.has_face.mean() < 1
    feeds = bundle.golden().feeds
    assert feeds["face_mask"].sum(axis=1).tolist()[2:4] == [0, feeds["face_mask"].shape[1]]
    assert feeds["pose_mask"].sum(axis=(1, 2))[3] == 0


def test_a_checkpoint_s_weights_come_through_unchanged(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The graph is written by the random bundle's test: here only the weights' way matters.
    received: list[Mapping[str, torch.Tensor]] = []

    def stop(net: Net, *_: object) -> None:
        received.append(net.state_dict())
        raise ExportError("far enough")

    monkeypatch.setattr(train.export, "write_graph", stop)
    options = ExportOptions(out=tmp_path / "bundle", checkpoint=trained)
    with pytest.raises(ExportError, match="far enough"):
        export(tiny(), options, lambda _: None)
    expected = tiny_net(7).state_dict()
    assert received[0].keys() == expected.keys()
    assert all(torch.equal(received[0][name], expected[name]) for name in expected)


def test_a_manifest_says_what_the_weights_were_fitted_on_and_what_they_are_not_for(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[ExportOptions] = []

    def stop(_recipe: object, options: ExportOptions, _report: object) -> Bundle:
        received.append(options)
        raise ExportError("far enough")

    monkeypatch.setattr(train.export, "export", stop)
    arguments = ["export", "--recipe", "demo", "--init", str(trained), "--out", "bundle"]
    said = ["--data", "rendered people", "--data-licence", "MIT", "--limits", "Not seen: hats. "]
    assert train.__main__.main([*arguments, *said]) == 2
    assert train.__main__.main(arguments) == 2
    stated, silent = (train.export.draft_manifest(tiny(), options) for options in received)
    assert not stated.source.is_untrained
    assert (stated.source.data, stated.notes.data_licence) == ("rendered people", "MIT")
    assert stated.notes.limits == f"{tiny().limits} Not seen: hats."
    assert (silent.source.data, silent.notes.data_licence) == ("not stated", "not stated")
    assert silent.notes.limits == tiny().limits
    random = train.export.draft_manifest(tiny(), ExportOptions(out=Path(), data="all of it"))
    assert random.source.data == "untrained"


def test_a_failed_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_net: Net, _manifest: Manifest, _feeds: object, path: Path) -> None:
        path.write_bytes(b"half a graph")
        raise ExportError("no more")

    monkeypatch.setattr(train.export, "write_graph", half)
    with pytest.raises(ExportError):
        export(tiny(), ExportOptions(out=tmp_path / "bundle"), lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="new or an empty folder"):
        export(tiny(), ExportOptions(out=tmp_path), lambda _: None)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_checkpoints_of_another_recipe_or_shape_are_refused(trained: Path) -> None:
    with pytest.raises(CheckpointError, match=r"another recipe than demo.*face_size") as error:
        load_checkpoint(trained, demo())
    assert "\n" not in str(error.value)
    weights = load_checkpoint(trained, tiny())
    net = tiny_net(0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    first, *rest = weights
    for changed, message in (
        ({name: weights[name] for name in rest}, f"lacks weights: {first}"),
        ({**weights, "extra": torch.zeros(1)}, "has unknown weights: extra"),
        ({**weights, first: torch.zeros(1, 2)}, f"has misshapen weights: {first}"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(message)):
            load_weights(net, changed, "file.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


class Bomb:
    """What a malicious pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (Path("exploded"),)  # type: ignore[return-value]


def test_files_that_are_no_checkpoints_are_refused_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    junk, bomb, other = (tmp_path / name for name in ("junk.pt", "bomb.pt", "other.pt"))
    junk.write_bytes(b"\x00not a checkpoint")
    bomb.write_bytes(pickle.dumps(Bomb()))
    torch.save({"weights": {}}, other)
    for path in (tmp_path / "none.pt", tmp_path, junk, bomb, other):
        arguments = ["export", "--recipe", "demo", "--init", str(path), "--out", "bundle"]
        assert train.__main__.main(arguments) == 2
        *_, line = capsys.readouterr().err.splitlines()
        assert line.startswith(f"train: {path}: ")
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "bundle").exists()


def test_missing_libraries_are_named_with_the_cure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.cli.export, "_NEEDED", ("torch", "no_such_library"))
    arguments = ["export", "--recipe", "demo", "--init", "random", "--out", "bundle"]
    assert train.__main__.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no_such_library" in error
    assert 'pip install -e ".[train]"' in error


def test_a_graph_with_nodes_that_runtimes_refuse_is_refused() -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in "xy")
    node = helper.make_node("Einsum", ["x", "x"], ["y"], equation="ij,jk->ik")
    graph = helper.make_graph([node], "graph", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    with pytest.raises(ExportError, match="with Einsum"):
        check_graph(model)


def test_the_revision_is_this_commit() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", git_revision())


def test_the_demo_bundle_is_the_demo_recipe_and_says_what_it_learnt_from() -> None:
    manifest = load_bundle(DEMO).manifest
    assert (manifest.name, manifest.source.recipe) == ("demo", "demo")
    assert sum(path.stat().st_size for path in DEMO.iterdir()) <= 24_900_000
    on: tuple[tuple[str, Precision | None], ...] = (("ort", "fp32"), ("cpu", "fp32"), ("cpu", None))
    for device, precision in on:
        with open_engine(DEMO, device, precision=precision) as engine:
            verify(engine).check()
    if not manifest.source.is_untrained:  # random weights may be an earlier recipe's
        recipe = demo()
        assert manifest.inputs in (recipe.inputs, fed_floats(recipe).inputs)
        for shipped, planned in zip(manifest.outputs, recipe.outputs, strict=True):
            calibrated = replace(
                planned, temperature=shipped.temperature, thresholds=shipped.thresholds
            )
            assert shipped == calibrated
        assert {metrics.task for metrics in manifest.metrics} == {"micro_gesture", "emotion"}
        assert "not stated" not in (manifest.source.data, manifest.notes.data_licence)
        assert manifest.notes.limits.startswith(recipe.limits)
        assert "rendered" in manifest.notes.limits.removeprefix(recipe.limits)
