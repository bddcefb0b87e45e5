"""The file in docs/python.md goes from images to the report of a study."""

import re


def test_the_example_runs_from_images_to_a_report(repo_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    (code,) = re.findall(r"```python\n(.*?)```", (repo_root / "docs/python.md").read_text(), re.S)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 40
    names = {"__name__": "example"}
    exec(compile(code, "docs/python.md", "exec"), names)  # noqa: S102
    names["main"](tmp_path)
    assert "swap: hrnet_w16_tiny.example into eanet" in capsys.readouterr().out
    assert list((tmp_path / "study" / "reports").rglob("report.html"))
    assert (tmp_path / "features" / "metrics.json").is_file()
