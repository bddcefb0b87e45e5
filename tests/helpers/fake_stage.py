"""A stand-in for `stages.run_cell` that trains nothing."""

import time


class FakeStage:
    """Writes a file and finishes, or fails for the labels it is told to."""

    def __init__(self, *, failing=(), seconds=0.0):
        self.failing, self.seconds = set(failing), seconds
        self.ran: list[str] = []

    def __call__(self, folder, weights, *, device):
        label = folder.cell.label
        self.ran.append(label)
        with (folder.path / "ran.txt").open("a") as file:  # for workers of other processes
            file.write(f"{label}\n")
        time.sleep(self.seconds)
        if label in self.failing:
            raise RuntimeError(f"{label} cannot\nbe run")
        assert (weights is not None) == (folder.cell.needs is not None)
        assert weights is None or weights.exists()
        folder.weights.mkdir(exist_ok=True)
        (folder.weights / "w.safetensors").write_text(label)
        folder.finish(
            {"weights": "weights", "seconds": 1.0, "resumed": False},
            [folder.weights / "w.safetensors"],
        )
