"""Every printed table is aligned, and shows any label as text."""

from gesture_pretrain.tables import markdown_table, text_table

HOSTILE = "<script>|$x_1$\n`a` [b](c) &amp;"


def test_text_is_aligned():
    assert text_table(["arm", "mm"], [["a", 4.25], ["longer", 10]]).splitlines() == [
        "arm       mm",
        "a       4.25",
        "longer    10",
    ]


def test_a_label_does_not_change_the_table():
    lines = markdown_table(["name", HOSTILE], [[HOSTILE, "1.00"]]).splitlines()
    cell = r"&lt;script&gt;\|\$x\_1\$ \`a\` [b\](c) &amp;amp;"
    assert lines == [f"| name | {cell} |", "| --- | ---: |", f"| {cell} | 1.00 |"]
    assert len(text_table(["name"], [[HOSTILE]]).splitlines()) == 2
