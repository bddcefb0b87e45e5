"""Joint orders, bones and fingertips."""

import pytest

from gesture_pretrain import skeleton as sk


def test_permutations_map_names_to_names():
    assert [sk.JOINT_NAMES_INTERHAND[i] for i in sk.MANO21_FROM_INTERHAND] == [
        *sk.JOINT_NAMES_MANO21
    ]
    assert [sk.JOINT_NAMES_MANO21[i] for i in sk.INTERHAND_FROM_MANO21] == [
        *sk.JOINT_NAMES_INTERHAND
    ]


def test_published_index_tables():
    assert sk.MANO21_FROM_INTERHAND[:6] == (20, 3, 2, 1, 0, 7)
    expected = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
    assert sk.MANO21_FROM_MANO16_TIPS == expected


def test_middle_knuckle_is_9_in_mano_order_and_11_in_annotation_order():
    assert sk.JOINT_NAMES_MANO21[9] == sk.JOINT_NAMES_INTERHAND[11] == "middle1"


def test_bones_form_one_tree_rooted_at_the_wrist():
    assert len(sk.BONES_MANO21) == 20
    assert {child for _, child in sk.BONES_MANO21} == set(range(1, 21))
    assert all(parent < child for parent, child in sk.BONES_MANO21)
    assert [j for j in range(21) if sk.PARENTS_MANO21[j] == 0] == [1, 5, 9, 13, 17]


def test_parents_follow_the_names():
    for name, parent in zip(sk.JOINT_NAMES_MANO21[1:], sk.PARENTS_MANO21[1:], strict=True):
        finger, k = name[:-1], int(name[-1])
        assert sk.JOINT_NAMES_MANO21[parent] == ("wrist" if k == 1 else f"{finger}{k - 1}")


def test_tip_conventions():
    assert sk.tip_vertices("smplx") == (744, 320, 443, 554, 671)
    assert sk.tip_vertices("manopth") == (745, 317, 444, 556, 673)
    with pytest.raises(ValueError, match="manopth.*smplx"):
        sk.tip_vertices("mano")


def test_finger_of_joint():
    assert [sk.finger_of_joint(j) for j in (0, 1, 4, 5, 20)] == [
        "wrist", "thumb", "thumb", "index", "pinky",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="0-20"):
        sk.finger_of_joint(21)
