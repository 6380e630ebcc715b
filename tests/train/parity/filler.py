"""Deterministic weights and inputs for the parity fixtures. numpy only.

Every value is a pure function of a *name* (a state-dict key, or an input name) and of the flat
(row-major) position in the tensor. No library random generator is used, so the numbers cannot
change with a numpy version; the recipe is SHA-256 + SplitMix64.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def uniform(name: str, n: int) -> NDArray[np.float64]:
    """n values in [-1, 1): SplitMix64 started at the first 8 bytes of sha256(name)."""
    z = np.arange(1, n + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):  # all arithmetic is modulo 2**64
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


# First pattern found in the key wins: (pattern, offset, amplitude) -> offset + amplitude * u.
RULES = (
    # Small on purpose: makes eps visible.
    (r"^(backbone\.feature|fam)\..*running_var$", 0.011, 0.009),
    (r"running_var$", 1.0, 0.5),
    (r"running_mean$", 0.0, 0.1),
    (r"\.PA$", 0.0, 0.2),
    (r"conv_[ab]\.\d\.bias$", 0.0, 0.5),
    (r"relative_position_bias_table$", 0.0, 1.0),
    (r"class_token$", 0.0, 0.02),
    (r"bias$", 0.0, 0.1),
)
# Only for weights with ndim >= 2.
GAINS = (
    (r"^l\d+\.gcn1\.conv_d\.", 0.6),
    (r"^l\d+\.gcn1\.conv_[ab]\.", 1.5),
    (r"^l\d+\.tcn1\.conv\.", 0.8),
    (r"^backbone\.feature\.[02]\.weight$", 0.1),
    (r"^fam\..*\.conv\.convs\.", 0.1),
    (r"channel_attention\.mlp\.1\.weight$", 20.0),
    (r"channel_attention\.mlp\.3\.weight$", 3.0),
)
CENTRED = r"^(l\d+|fc|tss|om)\."  # these weights get zero mean over their inputs


def weight(key: str, shape: Sequence[int]) -> Array | None:
    """The array to load for `key`, or None: keep what the model has built (index, mask buffers)."""
    if re.search(r"(relative_position_index|attn_mask)$", key):
        return None
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    u = uniform(key, math.prod(shape)).reshape(shape)
    rule = next((rule for rule in RULES if re.search(rule[0], key)), None)
    if rule:
        _, offset, amplitude = rule
    elif len(shape) <= 1:  # scale of a norm layer
        offset, amplitude = 1.0, 0.3
    else:  # unit gain by fan-in
        gain = next((g for p, g in GAINS if re.search(p, key)), 1.0)
        if re.search(CENTRED, key):
            u = u - u.mean(tuple(range(1, len(shape))), keepdims=True)
        offset, amplitude = 0.0, gain * math.sqrt(3.0 / math.prod(shape[1:]))
    return (offset + amplitude * u).astype(np.float32)


def signal(
    name: str, shape: Sequence[int], block: Sequence[int], scale: float = 1.0
) -> NDArray[np.float32]:
    """Deterministic input: block-constant pattern + half as much white noise, times `scale`.

    `block` gives, per axis, how many neighbours share one value of the coarse pattern.
    """
    coarse = [-(-s // b) for s, b in zip(shape, block, strict=True)]
    x = uniform(name + ":coarse", math.prod(coarse)).reshape(coarse)
    for axis, b in enumerate(block):
        x = np.repeat(x, b, axis)
    x = x[tuple(slice(s) for s in shape)]
    x = x + 0.5 * uniform(name + ":noise", math.prod(shape)).reshape(shape)
    return (scale * x).astype(np.float32)


def sample_positions(numel: int, count: int = 16) -> list[int]:
    """Flat positions of the sampled values stored for every intermediate tensor."""
    return [(2654435761 * (k + 1)) % numel for k in range(count)]


def state_dict(keys: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """{key: shape} -> {key: array}, without the buffers that stay as built."""
    out = {k: weight(k, tuple(s)) for k, s in keys.items()}
    return {k: v for k, v in out.items() if v is not None}


def compare(case: Mapping[str, Any], got: Mapping[str, Array]) -> dict[str, float]:
    """{name: error} of {name: array} against one entry of a fixture's "cases".

    error = max |got - expected| / scale over the stored values; for intermediates also the mean and
    the standard deviation of the whole tensor are compared. Names missing in `got` are skipped.
    """
    errors: dict[str, float] = {}
    for name, want in {**case["intermediates"], **case["outputs"]}.items():
        if name not in got:
            continue
        g = np.asarray(got[name], np.float64)
        if g.size != math.prod(want["shape"]):
            raise ValueError(f"{name}: shape {g.shape}, expected {want['shape']}")
        flat = g.ravel()
        if "values" in want:
            delta = np.abs(flat - want["values"]).max()
        else:
            delta = max(
                np.abs(flat[sample_positions(flat.size)] - want["samples"]).max(),
                abs(flat.mean() - want["mean"]),
                abs(flat.std() - want["std"]),
            )
        errors[name] = float(delta) / want["scale"]
    return errors
