"""Units of the face: what is known counts, in units of its spread."""

import pytest
import torch

from train.units import NUM_UNITS, SPREAD, units_loss, unknown_units


def test_the_loss_is_the_squared_error_of_known_faces_over_the_spread() -> None:
    units = unknown_units(2)[None].clone()
    units[0, 1] = 2 * SPREAD
    told = torch.zeros(1, 2, NUM_UNITS, requires_grad=True)
    loss = units_loss(told, units)
    assert float(loss.detach()) == pytest.approx(4.0, rel=1e-5)
    loss.backward()
    assert told.grad is not None
    assert not told.grad[0, 0].any()
    assert (told.grad[0, 1] < 0).all()


def test_faces_about_which_nobody_knows_are_no_loss() -> None:
    assert float(units_loss(torch.ones(1, 2, NUM_UNITS), unknown_units(2)[None])) == 0.0
