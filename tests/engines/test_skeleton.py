import numpy as np
import pytest

from engines.skeleton import IMIGUE22, LAYOUTS, MEDIAPIPE33, UPPER25, SkeletonLayout, convert


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_graph_is_one_tree(layout: SkeletonLayout) -> None:
    assert len(set(layout.joints)) == layout.num_joints
    assert len(layout.bones) == layout.num_joints - 1
    for joint in range(layout.num_joints):
        steps = 0
        while joint != layout.root:
            joint, steps = layout.parents[joint], steps + 1
            assert steps < layout.num_joints


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_mirroring_twice_changes_nothing_and_swaps_sides(layout: SkeletonLayout) -> None:
    mirror = layout.mirror
    assert [mirror[i] for i in mirror] == list(range(layout.num_joints))
    left, right = layout.indices(["left_shoulder", "right_shoulder"])
    assert mirror[left] == right
    assert mirror[layout.root] == layout.root


def test_imigue22_has_the_edges_of_the_corrected_public_graph() -> None:
    """MMN's 0-based edges (the shared field.md, section 3.3), as undirected pairs."""
    fingers = [(4, i) for i in range(12, 17)] + [(7, i) for i in range(17, 22)]
    body = [(1, 0), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7)]
    head = [(0, 8), (8, 10), (0, 9), (9, 11)]
    assert {frozenset(b) for b in IMIGUE22.bones} == {frozenset(b) for b in body + head + fingers}


def test_upper25_is_the_head_of_mediapipe33() -> None:
    assert UPPER25.joints == MEDIAPIPE33.joints[:25]


def test_convert_keeps_shared_joints_and_marks_the_others_missing() -> None:
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(5, 33, 3)).astype(np.float32)
    conf = rng.uniform(0.1, 1, size=(5, 33)).astype(np.float32)
    out, out_conf = convert(xyz, conf, MEDIAPIPE33, IMIGUE22)
    assert (out.shape, out_conf.shape) == ((5, 22, 3), (5, 22))
    for i, joint in enumerate(IMIGUE22.joints):
        if joint in MEDIAPIPE33.joints:
            j = MEDIAPIPE33.joints.index(joint)
            np.testing.assert_array_equal(out[:, i], xyz[:, j])
            np.testing.assert_array_equal(out_conf[:, i], conf[:, j])
        else:
            assert np.isnan(out[:, i]).all()
            assert (out_conf[:, i] == 0).all()
    assert {"nose", "left_wrist"} <= set(IMIGUE22.joints) & set(MEDIAPIPE33.joints)
    assert "left_index_tip" not in MEDIAPIPE33.joints


def test_convert_there_and_back_keeps_what_both_have() -> None:
    rng = np.random.default_rng(1)
    xy = rng.normal(size=(2, 25, 2)).astype(np.float32)
    conf = np.ones((2, 25), np.float32)
    back, back_conf = convert(*convert(xy, conf, UPPER25, MEDIAPIPE33), MEDIAPIPE33, UPPER25)
    np.testing.assert_array_equal(back, xy)
    np.testing.assert_array_equal(back_conf, conf)


def test_an_unknown_joint_is_named() -> None:
    with pytest.raises(ValueError, match="mediapipe33 has no joint tail"):
        MEDIAPIPE33.indices(["nose", "tail"])
