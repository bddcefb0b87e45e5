"""Gesture taxonomies: the packaged files, every rule of a CSV, flips, controls, masking."""

import csv

import numpy as np
import pytest

from gesture_pretrain.taxonomy import CONTROLS, AssignmentReport, Taxonomy, packaged_taxonomies

HEADER = "label,coarse,fine,hand,flip\n"


def load_text(tmp_path, text, name="own.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return Taxonomy.load(path)


@pytest.fixture(scope="module")
def two_hands():
    return Taxonomy.load("interhand26m")


@pytest.fixture(scope="module")
def merged():
    return Taxonomy.load("interhand26m_merged")


def test_packaged_sizes(two_hands, merged):
    assert packaged_taxonomies() == ["interhand26m", "interhand26m_merged"]
    assert (len(two_hands.labels), two_hands.num_coarse, two_hands.num_fine) == (90, 54, 70)
    assert (len(merged.labels), merged.num_coarse, merged.num_fine) == (90, 27, 35)
    assert two_hands.labels == merged.labels


def test_packaged_classes_are_the_published_ones(shared_dir, two_hands, merged):
    with open(shared_dir / "interhand" / "gestures.csv", newline="") as file:
        published = list(csv.DictReader(file))
    assert [row["folder"] for row in published] == list(two_hands.labels)
    for row in published:
        coarse, fine = int(row["coarse_id"]), int(row["fine_id"])
        assert two_hands.ids(row["folder"]) == (coarse, fine)
        assert merged.ids(row["folder"]) == (coarse % 27, fine % 35)
        assert two_hands.hand_of(row["folder"]) == merged.hand_of(row["folder"]) == row["hand"]


def test_flip_of_the_two_hand_table(two_hands, merged):
    # includes palmdownwave (right only) and relaxedwave (left only): flips are between classes
    for label in two_hands.labels:
        coarse, fine = two_hands.ids(label)
        assert two_hands.flip(coarse, fine) == ((coarse + 27) % 54, (fine + 35) % 70)
        assert two_hands.flip(*two_hands.flip(coarse, fine)) == (coarse, fine)
        assert merged.flip(*merged.ids(label)) == merged.ids(label)
    assert two_hands.has_flip and merged.has_flip
    assert two_hands.flip(-1, -1) == (-1, -1)


def test_key_is_the_whole_folder_name(two_hands):
    # the number 0014 is shared by two folders of different fine class
    assert two_hands.ids("0014_rocker") == (9, 3)
    assert two_hands.ids("0014_rocker_frontside") == (9, 4)
    assert two_hands.ids("0014") == (-1, -1)


def test_each_fine_class_lies_in_one_coarse_class(two_hands, merged):
    for taxonomy in (two_hands, merged):
        pairs = {taxonomy.ids(label) for label in taxonomy.labels}
        assert len(pairs) == len({fine for _, fine in pairs}) == taxonomy.num_fine


def test_user_file_with_names_and_folder_column(tmp_path):
    text = "\ufefffolder,name,coarse,fine\n0,zero,round,o\n1,one,up,i\n2,two,up,v\n"
    taxonomy = load_text(tmp_path, text)
    assert taxonomy.coarse_names == ("round", "up")
    assert [taxonomy.ids(label) for label in "012"] == [(0, 0), (1, 1), (1, 2)]
    assert taxonomy.flip(0, 0) is None and not taxonomy.has_flip


def test_class_names_fall_back_to_the_name_of_the_first_row(tmp_path):
    taxonomy = load_text(tmp_path, "label,name,coarse,fine\na,fist,0,0\nb,palm,1,1\nc,paw,1,1\n")
    assert taxonomy.fine_names == ("fist", "palm")


def test_sign_digits_file(shared_dir):
    taxonomy = Taxonomy.load(shared_dir / "real_gestures" / "sign_digits" / "taxonomy.csv")
    assert taxonomy.ids("3") == (3, 3) and taxonomy.coarse_names[5] == "open_hand"


def test_flip_only_where_defined(tmp_path):
    taxonomy = load_text(tmp_path, HEADER + "a,0,0,right,b\nb,1,1,left,a\nc,2,2,,c\nd,3,3,,\n")
    flips = [taxonomy.flip(i, i) for i in range(4)]
    assert flips == [(1, 1), (0, 0), (2, 2), None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,coarse,fine\na,0,0\nb,2,1\n", r"line 3 \(label 'b'\): coarse id 2 .*id 1 has no"),
        ("label,coarse,fine\na,0,-1\n", r"line 2 .*fine id -1"),
        ("label,coarse,fine\na,0,0\nb,0,2\n", r"line 3 .*fine id 2 .*id 1 has no row"),
        ("label,coarse,fine\na,0,0\nb,1,0\n", r"line 3 .*fine class 0 lies in coarse class 1"),
        ("label,coarse,fine\na,0,0\na,0,0\n", r"line 3 .*already given at own.csv line 2"),
        ("label,coarse,fine\na,0,0\nb,up,1\n", r"line 3 .*mixes ids and names"),
        ("label,coarse,fine\na,,0\n", r"line 2 .*'coarse' is empty"),
        ("label,coarse,fine\na,0\n", r"line 2: the number of cells"),
        ("label,coarse,fine\na,0,0,0\n", r"line 2: the number of cells"),
        ("label,coarse\na,0\n", r"line 1: column 'fine' is missing"),
        ("label,coarse,fine,colour\na,0,0,red\n", r"line 1: unknown column 'colour'"),
        ("label,folder,coarse,fine\na,a,0,0\n", r"line 1: column 'label' is given twice"),
        ("label,coarse,fine\n", r"has no rows"),
        ("", r"line 1: column 'label' is missing"),
        (HEADER + "a,0,0,up,\n", r"line 2 .*hand 'up' is none of"),
        (HEADER + "a,0,0,,z\n", r"line 2 .*flip partner 'z' is not a label"),
        (HEADER + "a,0,0,,b\nb,1,1,,\n", r"line 2 .*class 0 to 1, but 1 flips to None"),
        (HEADER + "a,0,0,,b\nb,1,1,,c\nc,2,2,,a\n", r"line 2 .*flipping twice"),
        (HEADER + "a,0,0,,b\nb,1,1,,a\nc,0,0,,c\n", r"line 4 .*sends coarse class 0 to 0, but"),
        # fine flips agree, but one coarse class would have two mirror images
        (HEADER + "a,0,0,,b\nb,1,1,,a\nc,0,2,,c\n", r"line 4 .*sends coarse class 0 to 0, but"),
        (HEADER + "a,0,0,right,a\n", r"line 2 .*mirror image of a right one is left"),
        ("label,coarse,fine,fine_name\na,0,0,x\nb,0,0,y\n", r"line 3 .*called 'y' here and 'x'"),
    ],
)
def test_each_broken_rule_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_text(tmp_path, text)


def test_unknown_name_lists_the_packaged_ones():
    with pytest.raises(FileNotFoundError, match="Did you mean 'interhand26m'"):
        Taxonomy.load("interhand26")


def test_sha_is_of_the_content_not_of_the_writing(tmp_path):
    one = load_text(tmp_path, "label,coarse,fine\na,0,0\nb,1,1\n")
    same = load_text(tmp_path, "coarse,fine,label\r\n0,0,a\r\n1,1,b\r\n", "other.csv")
    other = load_text(tmp_path, "label,coarse,fine\na,0,0\nb,0,1\n", "third.csv")
    assert one.sha256 == same.sha256 != other.sha256


def test_unknown_labels_are_masked_and_counted(two_hands):
    labels = ["0016_fist", "ROM01_No_Interaction_2_Hand", "0116_fist", "0016_fist", "9_x", "9_x"]
    hands = ["right", "right", "right", "interacting", "right", "left"]
    coarse, fine, report = two_hands.assign(labels, hands)
    assert coarse.tolist() == [10, -1, -1, -1, -1, -1]
    assert fine.tolist() == [29, -1, -1, -1, -1, -1]
    assert (report.total, report.labelled, report.unknown, report.side_mismatch) == (6, 1, 3, 2)
    assert report.unknown_labels == {"ROM01_No_Interaction_2_Hand": 1, "9_x": 2}
    assert "3 of an unknown label, 2 of the other handedness" in str(report)
    assert "9_x (2), ROM01_No_Interaction_2_Hand (1)" in str(report)


def test_a_report_lists_the_most_frequent_unknown_labels_and_counts_the_rest():
    unknown = {f"x{i:02}": 1 + (i == 9) for i in range(11)}
    text = str(AssignmentReport(12, 0, 12, 0, unknown))
    assert "unknown labels: x09 (2), x00 (1), " in text and text.endswith("x06 (1) and 3 more")


def test_an_unannotated_photograph_keeps_its_label(two_hands):
    assert two_hands.assign(["0016_fist"], ["unknown"])[0].tolist() == [10]


def test_two_hands_fit_only_labels_that_say_so(tmp_path):
    taxonomy = load_text(tmp_path, HEADER + "pray,0,0,interacting,pray\nfist,1,1,,fist\n")
    coarse, _, report = taxonomy.assign(["pray", "fist", "pray"], ["interacting"] * 2 + ["right"])
    assert coarse.tolist() == [0, -1, -1] and report.side_mismatch == 2


def test_nothing_to_assign(two_hands):
    coarse, fine, report = two_hands.assign([], [])
    assert len(coarse) == len(fine) == report.total == 0


def test_lengths_must_agree(two_hands):
    with pytest.raises(ValueError, match="2 labels but 1 hands"):
        two_hands.assign(["a", "b"], ["right"])


def test_from_index_labels():
    taxonomy = Taxonomy.from_index_labels(["b", "a", "b"])
    assert taxonomy.coarse_names == taxonomy.fine_names == ("a", "b")
    assert taxonomy.ids("b") == (1, 1) and taxonomy.flip(1, 1) is None
    with pytest.raises(ValueError, match="at least one label"):
        Taxonomy.from_index_labels([])


def test_handedness_only(two_hands, merged):
    for taxonomy in (two_hands, merged):
        control = taxonomy.handedness_only()
        assert control.ids("0016_fist") == (0, 0) and control.ids("0116_fist") == (1, 1)
        assert control.flip(0, 0) == (1, 1) and control.num_coarse == control.num_fine == 2
        assert control.labels == taxonomy.labels
    with pytest.raises(ValueError, match="no `hand` column"):
        Taxonomy.from_index_labels(["a"]).handedness_only()


def test_coarse_only_and_fine_only(two_hands):
    coarse, fine = two_hands.coarse_only(), two_hands.fine_only()
    assert coarse.ids("0016_fist") == (10, 10) and coarse.num_fine == 54
    assert fine.ids("0016_fist") == (29, 29) and fine.num_coarse == 70
    assert coarse.flip(10, 10) == (37, 37) and fine.flip(29, 29) == (64, 64)


def assigned_pairs(taxonomy, labels, rows=None):
    hands = [taxonomy.hand_of(label) or "right" for label in labels]
    coarse, fine, _ = taxonomy.assign(labels, hands, rows=rows)
    return np.stack([coarse, fine], axis=1)


def test_shuffled_keeps_counts_and_masks_and_breaks_the_rest(two_hands):
    labels = [*two_hands.labels, "ROM01", "ROM02"] * 20
    plain = assigned_pairs(two_hands, labels)
    control = assigned_pairs(two_hands.shuffled(1), labels)
    assert sorted(map(tuple, plain)) == sorted(map(tuple, control))
    assert np.array_equal(plain[:, 0] < 0, control[:, 0] < 0)
    labelled = plain[:, 0] >= 0
    # a random pairing agrees for about 3 % of the images (sum of squared class shares);
    # 10 % is eleven standard deviations away at 1,800 images
    assert (plain[labelled, 0] == control[labelled, 0]).mean() < 0.10
    # not a renaming of classes: one folder's images end up in many classes
    assert len(set(control[np.array(labels) == "0016_fist", 0].tolist())) > 5


def test_shuffled_depends_on_seed_and_identity_not_on_order(two_hands):
    labels, rows = list(two_hands.labels) * 3, np.arange(270) * 7
    first = assigned_pairs(two_hands.shuffled(1), labels, rows)
    assert np.array_equal(first, assigned_pairs(two_hands.shuffled(1), labels, rows))
    assert not np.array_equal(first, assigned_pairs(two_hands.shuffled(2), labels, rows))
    order = np.random.default_rng(0).permutation(270)
    again = assigned_pairs(two_hands.shuffled(1), [labels[i] for i in order], rows[order])
    assert np.array_equal(again, first[order])


def test_controls_by_name(two_hands):
    made = {name: two_hands.control(name, seed=3) for name in CONTROLS}
    assert made["shuffled"].name == "interhand26m-shuffled3"
    hashes = {taxonomy.sha256 for taxonomy in (*made.values(), two_hands)}
    assert len(hashes) == len(CONTROLS) + 1
    with pytest.raises(ValueError, match="Unknown control 'random'. Known: handedness_only"):
        two_hands.control("random")
