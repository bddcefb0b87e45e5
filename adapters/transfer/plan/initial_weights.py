"""Initial weights of the arms of a plan, identified by their content."""

from pathlib import Path
from typing import Any

from adapters.transfer.plan.plan import RANDOM, Arm, Plan, PlanError
from gesture_pretrain.data.index.index import file_sha256
from gesture_pretrain.weights.ledger import fingerprint
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone
from gesture_pretrain.weights.starting_backbone import (
    WORDS,
    build_starting_backbone,
    is_exported,
)


class InitialWeights:
    """Identities of the initial weights of a plan, for the keys of its cells."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._published: dict[tuple[str, str], str] = {}  # (init, backbone) -> fingerprint

    def of_arm(self, arm: Arm, backbone: str, name: str) -> dict[str, Any]:
        """Return what identifies the weights of an arm before any training by the plan."""
        if arm.weights is not None:
            files = self._files_of_stored(arm.weights, backbone, f"arms.{name}.weights")
            return {"stored": str(arm.weights), "files": files}
        # a target that reads gesture logits gets random heads of the size of pretrained ones
        heads = {"heads": dict(self.plan.pretraining.get("heads", {}))}
        init = {"arch": self.plan.backbones[backbone]["arch"], "init": arm.starts_from}
        return {**init, **self.of_init(arm.starts_from, backbone, name), **heads}

    def of_init(self, init: str, backbone: str, name: str) -> dict[str, Any]:
        """Return what identifies the weights behind `init`, in addition to its name.

        Raises:
            WeightsError, PlanError: The weights are not there, or of another architecture.
        """
        if init == RANDOM:
            return {}
        if init in WORDS:
            return self._content_of_published(init, backbone)
        if Path(init).is_file() and not is_exported(init):
            return {"sha256": file_sha256(init)}
        return {"files": self._files_of_stored(init, backbone, f"arms.{name}.init")}

    def _content_of_published(self, init: str, backbone: str) -> dict[str, Any]:
        """Return the fingerprint of ImageNet weights; timm's are identified by their name alone.

        The weights are loaded in both cases, to find out whether they are available.
        """
        if (init, backbone) not in self._published:
            built = build_starting_backbone(**self.plan.backbones[backbone], init=init)
            self._published[init, backbone] = fingerprint(built.net.state_dict())
        return {} if init == "timm" else {"sha256": self._published[init, backbone]}

    def _files_of_stored(self, weights: str, backbone: str, place: str) -> dict[str, str]:
        """Return file -> SHA-256 of exported weights, heads included."""
        arch = self.plan.backbones[backbone]["arch"]
        record = find_backbone(weights).record
        if record.arch != arch.partition(".")[0]:
            raise PlanError(
                f"{place} has architecture {record.arch}, but backbones.{backbone} is {arch}. All "
                "arms of a target share one architecture."
            )
        return {file: facts.sha256 for file, facts in record.files.items()}


def stored_records(plan: Plan) -> dict[str, WeightRecord]:
    """Return arm -> card of its stored weights."""
    return {
        name: find_backbone(arm.weights).record
        for name, arm in plan.arms.items()
        if arm.weights is not None
    }
