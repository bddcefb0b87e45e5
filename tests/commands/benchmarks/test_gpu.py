"""The GPU benchmark runs in its small form on a CPU and tells what failed."""

import importlib
import json

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def gpu(repo_root, monkeypatch):
    return importlib.import_module("gesture_pretrain.commands.benchmarks.gpu")


def test_small_form_on_a_cpu(gpu, tmp_path):
    out, page = tmp_path / "gpu.json", tmp_path / "gpu.html"
    threads = torch.get_num_threads()
    gpu.main(["--device", "cpu", "--json", str(out), "--page", str(page)])
    torch.set_num_threads(threads)
    results = json.loads(out.read_text())["results"]
    assert results["device"] == "CPU" and results["small"]
    by_name = {row["name"]: row for row in results["checks"]}
    assert {row["status"] for row in results["checks"]} == {"passed"}
    for network in ("stage_1", "token_fusion", "eanet"):
        assert "no CUDA device" in by_name[f"no_host_waits {network}"]["found"]
        assert by_name[f"bf16_is_fp32 {network}"]["found"]["gradient_cosine"] > 0.9
        speed = by_name[f"training_speed {network} 4"]["found"]
        assert speed["images_per_s"] > 0 and speed["gflop_per_image"] > 0
    assert 0 <= by_name["fed_from_files"]["found"]["data_wait_fraction"] < 1
    text = page.read_text()
    assert all(name in text for name in by_name) and "<script" not in text


def test_a_failure_is_reported_and_escaped(gpu):
    def broken():
        raise AssertionError("<b>off</b>")

    row = gpu.outcome("x", broken, late=False)
    assert row["status"] == "failed" and "AssertionError" in row["found"]
    assert gpu.outcome("y", broken, late=True)["status"] == "left out"
    measured = {"checks": [row], "device": "CPU", "small": True}
    document = gpu.measurement("gpu", [], packages=(), results=measured)
    assert "<b>" not in gpu.page(document).html()
