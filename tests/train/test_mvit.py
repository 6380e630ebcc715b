"""MViT beyond parity: other sizes, small configurations, training, export."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.train.exported import check_export
from train.models.mvit import (
    DropPath,
    MViT,
    MViTConfig,
    PooledAttention,
    _by_frames,
    mvit_v2_s,
    one_hot_positions,
    padding,
    pooled_grid,
    relative_positions,
)

SMALL = MViTConfig(
    dims=(32, 64),
    heads=(1, 2),
    q_strides=((1, 1, 1), (1, 2, 2)),
    num_classes=5,
    embed_dim=32,
    frames=8,
    size=64,
    kv_stride=(1, 4, 4),
)


def spread(model: torch.nn.Module) -> torch.nn.Module:
    """Random values in every parameter, so that none of them hides behind its initial zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


@pytest.mark.parametrize(
    ("frames", "height", "width", "grid"),
    [(16, 224, 224, (8, 7, 7)), (8, 160, 192, (4, 5, 6)), (24, 96, 96, (12, 3, 3))],
)
def test_the_public_models_token_grid(
    frames: int, height: int, width: int, grid: tuple[int, int, int]
) -> None:
    assert mvit_v2_s().token_grid(frames, height, width) == grid


@pytest.mark.parametrize("size", [(8, 64, 64), (4, 32, 96), (7, 50, 46)])
def test_tokens_are_a_class_token_and_the_grid(size: tuple[int, int, int]) -> None:
    model = MViT(SMALL).eval()
    x = torch.randn(2, 3, *size)
    t, h, w = SMALL.token_grid(*size)
    with torch.inference_mode():
        tokens = model.tokens(x)
        assert tokens.shape == (2, 1 + t * h * w, model.out_dim)
        assert model(x).shape == (2, 5)


def test_a_batch_gives_what_each_clip_gives_alone() -> None:
    model = spread(MViT(SMALL)).eval()
    x = torch.randn(3, 3, 8, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), torch.cat([model(clip[None]) for clip in x]))


def test_relative_positions_pick_the_row_of_each_distance() -> None:
    table = torch.arange(7.0)[:, None]
    rows = relative_positions(table, 4, 4)[..., 0]
    assert rows[0].tolist() == [3, 2, 1, 0]
    assert rows[3].tolist() == [6, 5, 4, 3]
    assert relative_positions(table, 4, 2)[..., 0].tolist() == [[2, 0], [3, 1], [4, 2], [5, 3]]
    assert relative_positions(table, 8, 8).shape == (8, 8, 1)


def test_every_parameter_learns_from_tokens() -> None:
    torch.manual_seed(0)
    model = MViT(dataclasses.replace(SMALL, drop_path=0.0))
    x = torch.randn(2, 3, 8, 64, 64)
    (model.tokens(x).square().sum() * 1e-3 + model(x).square().sum()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(4000, 2, 3))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(out.amax((1, 2)), out.amin((1, 2)))
    assert float(out.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(out), out)


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry a block"):
        dataclasses.replace(SMALL, heads=(1,))
    with pytest.raises(ValueError, match="split into 3 heads"):
        dataclasses.replace(SMALL, heads=(1, 3))


def test_mvit_exported_for_another_than_its_native_size_equals_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_export(spread(MViT(SMALL)), torch.randn(2, 3, 4, 64, 96), tmp_path)


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 2, 2)])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_pooling_by_frames_is_the_convolution_and_has_its_gradients(
    stride: tuple[int, int, int], frames: int
) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(4, 4, 3, stride, padding=1, groups=4, bias=False)
    results = []
    for pool in (conv, lambda x: _by_frames(conv, x)):
        conv.zero_grad()
        x = torch.arange(4.0 * frames * 64).sin().view(1, 4, frames, 8, 8).requires_grad_()
        y = pool(x)
        y.square().sum().backward()
        assert x.grad is not None
        assert conv.weight.grad is not None
        results.append((y.detach(), x.grad, conv.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_what_attention_multiplies_is_aligned_and_the_padding_changes_nothing() -> None:
    wide, narrow = (dataclasses.replace(SMALL, dims=dims) for dims in ((32, 64), (36, 72)))
    for config, zeros in ((wide, 4), (narrow, 0)):
        model = spread(MViT(config)).eval()
        attention = model.get_submodule("blocks.0.attn")
        assert isinstance(attention, PooledAttention)
        k_grid = pooled_grid((4, 16, 16), attention.kv_stride)
        assert k_grid == (4, 4, 4)
        head_dim = config.dims[0] // config.heads[0]
        assert padding(k_grid, head_dim) == zeros
        hot = one_hot_positions(k_grid, torch.zeros(1, head_dim))
        assert hot.shape == (1 + 64, 12 + zeros)
        assert (head_dim + hot.shape[1]) % 8 == 0
        assert hot.sum().item() == 3 * 64
