"""Bytes that the network normalises: the same numbers as the tables of `preprocess`."""

import io
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from engines.bench import stand_in_window
from engines.manifest import Manifest, RgbInput
from engines.preprocess import preprocess
from tests.train.tiny_recipe import tiny, without_emotion
from train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from train.dataset import manifest_of
from train.export import run_torch
from train.graph import OPSET, ExportError, check_graph
from train.models.download import CheckpointError
from train.models.heads import Net, NetConfig, build_net
from train.models.pixels import Normalise, PixelsConfig
from train.recipes import RECIPES, Recipe, fed_floats
from train.stages import StageNet

MEAN, STD = (0.45, 0.5, 0.1), (0.225, 0.3, 1.0)
HEADS = ("joint", "micro_gesture", "emotion")


def seeded(config: NetConfig) -> Net:
    torch.manual_seed(3)
    return build_net(config).eval()


def part(recipe: Recipe, task: str) -> Recipe:
    """The recipe with the heads of one task alone."""
    net = recipe.net
    if task == "micro_gesture":
        net = without_emotion(net)
    elif task == "emotion":
        net = replace(net, micro_gesture=None)
    kept = [o for o in recipe.outputs if task in ("joint", o.task)]
    gone = {"micro_gesture": ("face", "hand"), "emotion": ("pose", "hand")}.get(task, ())
    inputs = tuple(i for i in recipe.inputs if i.modality not in gone)
    return replace(recipe, net=net, inputs=inputs, outputs=tuple(kept))


def noisy(manifest: Manifest) -> Manifest:
    """With a normalisation that differs from channel to channel."""
    rgb, *others = manifest.inputs
    assert isinstance(rgb, RgbInput)
    return replace(manifest, inputs=(replace(rgb, mean=MEAN, std=STD), *others))


def test_the_network_computes_what_the_tables_of_preprocess_hold() -> None:
    manifests = [noisy(manifest_of(make(tiny()))) for make in (lambda r: r, fed_floats)]
    window = stand_in_window(manifests[0])
    rng = np.random.default_rng(0)
    window = replace(window, rgb=rng.integers(0, 256, window.rgb.shape, np.uint8))
    pixels, expected = (preprocess([window], m)["rgb"] for m in manifests)
    assert len(np.unique(pixels)) == 256
    got = Normalise(PixelsConfig(MEAN, STD))(torch.from_numpy(pixels)).numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", HEADS)
def test_the_same_weights_fed_bytes_or_floats_give_the_same_logits(task: str) -> None:
    logits: list[dict[str, np.ndarray]] = []
    scenes: list[dict[str, Tensor]] = []
    for recipe in (part(tiny(), task), fed_floats(part(tiny(), task))):
        manifest, net = manifest_of(recipe), seeded(recipe.net)
        windows = [stand_in_window(manifest, seed=seed) for seed in range(2)]
        feeds = preprocess(windows, manifest)
        logits.append(run_torch(net, manifest, feeds))
        classes = {o.task: len(o.class_names) for o in recipe.outputs}
        torch.manual_seed(4)
        stage = StageNet(net, "rgb", classes).eval()
        with torch.no_grad():
            scenes.append(stage({"rgb": torch.from_numpy(feeds["rgb"])}))
    for name, values in logits[0].items():
        np.testing.assert_allclose(values, logits[1][name], atol=1e-5)
    for name, told in scenes[0].items():
        torch.testing.assert_close(told, scenes[1][name], atol=1e-5, rtol=0)


def test_the_normalisation_adds_no_weight_and_draws_none() -> None:
    bytes_in, floats_in = (seeded(make(tiny()).net) for make in (lambda r: r, fed_floats))
    one, other = bytes_in.state_dict(), floats_in.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    names = [[n for n, _ in net.named_parameters()] for net in (bytes_in, floats_in)]
    assert names[0] == names[1]


def test_a_checkpoint_of_before_is_this_recipe_s_and_one_of_other_pixels_is_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    recipe = tiny()
    weights = seeded(recipe.net).state_dict()
    path = tmp_path_factory.mktemp("c") / "best.pt"
    for saved, opened in ((fed_floats(recipe), recipe), (recipe, fed_floats(recipe))):
        save_checkpoint(path, saved, weights)
        load_weights(seeded(opened.net), load_checkpoint(path, opened), str(path))
    rgb, *others = recipe.inputs
    assert isinstance(rgb, RgbInput)
    darker = replace(
        recipe, inputs=(replace(rgb, mean=MEAN), *others),
        net=replace(recipe.net, pixels=PixelsConfig(MEAN, rgb.std)),
    )  # fmt: skip
    for other in (darker, fed_floats(darker)):
        save_checkpoint(path, other, weights)
        with pytest.raises(CheckpointError, match=r"another recipe than tiny.*inputs\.0\.mean"):
            load_checkpoint(path, recipe)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_feeds_bytes_and_its_net_normalises_as_the_manifest_says(name: str) -> None:
    recipe = RECIPES[name]()
    (rgb,) = (i for i in recipe.inputs if isinstance(i, RgbInput))
    assert rgb.dtype == "uint8"
    assert recipe.net.pixels == PixelsConfig(rgb.mean, rgb.std)
    for pixels in (None, PixelsConfig(MEAN, STD)):
        with pytest.raises(ValueError, match="the net must normalise what the input rgb says"):
            replace(recipe, net=replace(recipe.net, pixels=pixels))


def test_floats_are_not_normalised_a_second_time() -> None:
    with pytest.raises(TypeError, match=r"expected torch\.uint8, got torch\.float32"):
        Normalise(PixelsConfig(MEAN, STD))(torch.zeros(1, 3, 2, 4, 4))


def test_it_stays_float32_under_autocast() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 1, 256)
    net = Normalise(PixelsConfig(MEAN, STD))
    with torch.autocast("cpu", torch.bfloat16):
        low = net(pixels)
    assert low.dtype == torch.float32
    assert torch.equal(low, net(pixels))


def test_a_graph_whose_bytes_are_read_by_more_than_a_cast_is_refused() -> None:
    nodes = [
        helper.make_node("Cast", ["rgb"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["rgb"], ["size"]),
    ]
    rgb = helper.make_tensor_value_info("rgb", TensorProto.UINT8, [2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(helper.make_graph(nodes, "g", [rgb], [y]), opset_imports=opsets)
    with pytest.raises(ExportError, match=r"the bytes of rgb by one Cast.*got Cast, Shape"):
        check_graph(model)
    del model.graph.node[1]
    check_graph(onnx.load(io.BytesIO(model.SerializeToString())))
