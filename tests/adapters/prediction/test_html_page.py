"""The page with meshes: self-contained, and its meshes rotate in a browser."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from adapters.prediction.html_page import HtmlPage
from gesture_pretrain.hand.mano_file import open_hand
from gesture_pretrain.report.hand_overlay import DrawnHand

# What a user does with the mouse; the title tells whether the mesh changed
DRAG = """<script>
const view = document.querySelector("canvas.mesh");
const before = view.toDataURL();
const options = { buttons: 1, movementX: 80, movementY: 30 };
view.dispatchEvent(new PointerEvent("pointermove", options));
document.title = before === view.toDataURL() ? "the same" : "rotated";
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    hands = {side: open_hand(side) for side in ("right", "left")}
    page = HtmlPage("a network", {side: hand["f"] for side, hand in hands.items()})
    drawn = [
        DrawnHand(
            side, 1000 * hand["v_template"], hand["f"], np.zeros((21, 2)), np.ones(3),
            np.zeros(4), f"<{side}> hand",
        )
        for side, hand in hands.items()
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapters.prediction.html_page.IMAGES_AT_MOST", 2)
        for name in ("a.jpg", "<b>.jpg", "c.jpg"):
            page.add(name, np.full((40, 60, 3), 120, np.uint8), drawn)
        page.write(folder)
    return folder / "index.html"


def test_it_needs_no_other_file_and_escapes_names(page):
    text = page.read_text()
    assert not re.search(r"(src|href)=[\"'](?!data:)", text) and "import " not in text
    assert "http://" not in text and "https://" not in text
    assert "&lt;b&gt;.jpg" in text and "<b>.jpg" not in text
    assert text.count("data-mesh=") == 4 and "1 further image" in text


def test_meshes_are_drawn_and_rotate_in_a_browser(page, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    dragged = tmp_path / "dragged.html"
    dragged.write_text(page.read_text().replace("</body>", f"{DRAG}</body>"))
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    command = [browser, *arguments, f"--user-data-dir={tmp_path}", "--dump-dom", dragged.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    faces = [int(count) for count in re.findall(r'data-faces="(\d+)"', done.stdout)]
    assert len(faces) == 4 and min(faces) > 300
    assert "<title>rotated</title>" in done.stdout
