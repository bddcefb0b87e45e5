"""From a plan to its cells: all runs of the plan, each with its whole configuration."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.pose.hand_models import HandModelSource, hand_fingerprints
from adapters.transfer.plan.cell import (
    FINETUNING,
    FORMAT,
    PRETRAINING,
    SELECTION,
    Cell,
    CellTable,
)
from adapters.transfer.plan.initial_weights import InitialWeights
from adapters.transfer.plan.plan import (
    AS_MANY_IMAGES_AS_PRETRAINING,
    Arm,
    Plan,
    PlanError,
    merged,
)
from adapters.transfer.plan.rows import finetuning_rows, pretraining_rows
from gesture_pretrain.data.index.fraction import require_distinct_fractions
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.weights.errors import WeightsError

DEFAULT_SIZE_PX = 256


def cells_of(plan: Plan) -> CellTable:
    """Return all cells of a plan.

    Raises:
        PlanError: Weights of the plan are missing, or of another architecture.
        DataError: There is no index.
    """
    source = _Source(plan)
    source.require_distinct_fractions()
    left_out = source.unavailable_arms()
    pretraining = {
        (arm, backbone, seed): source.pretraining_cell(arm, backbone, seed)
        for arm, settings in plan.arms.items()
        if settings.pretrained_here and arm not in left_out
        for backbone in dict.fromkeys(plan.backbone_of(t) for t in _targets_with(plan, arm))
        for seed in dict.fromkeys(plan.pretraining_seed(seed) for seed in plan.seeds)
    }
    pairs = [(t, arm) for t in plan.targets for arm in plan.arms_of(t) if arm not in left_out]
    selection = {
        (target, arm): source.selection_cells(arm, target, pretraining) for target, arm in pairs
    }
    finetuning = [
        source.finetuning_cell(arm, target, fraction, seed, pretraining, selection[target, arm])
        for seed in plan.seeds
        for fraction in plan.fractions
        for target, arm in pairs
    ]
    tried = [cell for cells in selection.values() for cell in cells.values()]
    # a seed's results are complete before the next one begins
    ordered = sorted(
        [*pretraining.values(), *tried, *finetuning], key=lambda c: plan.seeds.index(c.seed)
    )
    unique = {cell.key: cell for cell in ordered}
    return CellTable(tuple(unique.values()), left_out)


def _targets_with(plan: Plan, arm: str) -> list[str]:
    return [name for name in plan.targets if arm in plan.arms_of(name)]


class _Source:
    """Index, weights and hand models of a plan, from which its cells are built."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.index = HandIndex.open(plan.data["index"])
        test = plan.test.index
        self.test_index = self.index if test is None else HandIndex.open(test)
        self.weights = InitialWeights(plan)
        self._hands: dict[HandModelSource, dict[str, str]] = {}

    def require_distinct_fractions(self) -> None:
        """Refuse fractions of the pose labels that select the same images."""
        data = {**self.plan.data, **self.plan.finetuning.get("data", {})}
        try:
            require_distinct_fractions(
                lambda fraction: finetuning_rows(self.index, {**data, "fraction": fraction}),
                self.plan.fractions,
            )
        except ValueError as error:
            raise PlanError(f"fractions: {error}") from error

    def unavailable_arms(self) -> dict[str, str]:
        """Return the optional arms whose weights cannot be loaded, with the reason."""
        found = {}
        for name, arm in self.plan.arms.items():
            for target in _targets_with(self.plan, name):
                try:
                    self.weights.of_arm(arm, self.plan.backbone_of(target), name)
                except (WeightsError, OSError) as error:
                    if not arm.optional:
                        raise PlanError(f"arms.{name}: {error}") from error
                    found[name] = str(error).splitlines()[0]
        return found

    def pretraining_cell(self, arm: str, backbone: str, seed: int) -> Cell:
        """Build the cell of Stage 1 of an arm."""
        plan = self.plan
        sections = merged(plan.pretraining, plan.arms[arm].pretrain)
        data = {**plan.data, **sections.get("data", {})}
        trunk = {**plan.backbones[backbone], "init": plan.arms[arm].starts_from}
        if data.get("label_variant") in ("shuffled", "cluster_shuffled"):
            data.setdefault("label_seed", seed)  # another seed, another shuffle
        if "fraction" in data:
            data.setdefault("fraction_seed", seed)  # another seed, another part of the labels
        sections |= {"data": data, "backbone": trunk}
        batch = data.get("batch_size", 64)
        rows = pretraining_rows(self.index, data)
        iterations = _iterations(sections.get("schedule", {}), len(rows), batch)
        sections["schedule"] = {**sections.get("schedule", {}), "iterations": iterations}
        return Cell(
            stage=PRETRAINING,
            label=_label("pretrain", arm, backbone, f"s{seed}"),
            config={
                "format": FORMAT,
                "stage": PRETRAINING,
                "sections": _without_places(sections),
                "index": self.index.fingerprint,
                "seed": seed,
                **self.weights.of_init(plan.arms[arm].starts_from, backbone, arm),
            },
            places={"index": str(self.index.path)},
            arm=arm,
            backbone=backbone,
            seed=seed,
            iterations=iterations,
            batch_size=min(batch, len(rows)),
        )

    def selection_cells(self, arm: str, target: str, pretraining: Mapping) -> dict[float, Cell]:
        """Return a fine-tuning for each candidate learning rate; {} without a rule."""
        rule = self.plan.learning_rate
        if rule is None:
            return {}
        fraction, seed = self.plan.fractions[0], self.plan.seeds[0]
        sections, images = self._finetuning_sections(arm, target, fraction, seed, pretraining)
        sections["data"] |= {"val_split": rule.split, "val_images": rule.images}
        training = {"validate_every": sections["schedule"]["iterations"]}  # at the end
        sections["training"] = {**sections.get("training", {}), **training}
        return {
            rate: self._pose_cell(
                SELECTION,
                _label("select", target, arm, f"lr{rate:g}"),
                (arm, target, fraction, seed),
                {**sections, "optimizer": {**sections.get("optimizer", {}), "lr": rate}},
                images,
                pretraining,
            )
            for rate in rule.candidates
        }

    def finetuning_cell(
        self,
        arm: str,
        target: str,
        fraction: float,
        seed: int,
        pretraining: Mapping,
        tried: Mapping[float, Cell],
    ) -> Cell:
        """Build the cell of Stage 2 of an arm in a target."""
        plan = self.plan
        candidates = {rate: cell.key for rate, cell in tried.items()}
        rule = {f"{rate:g}": key for rate, key in candidates.items()}
        return self._pose_cell(
            FINETUNING,
            _label(target, arm, f"{100 * fraction:g}pc", f"s{seed}"),
            (arm, target, fraction, seed),
            *self._finetuning_sections(arm, target, fraction, seed, pretraining),
            pretraining,
            candidates,
            test={**_test_config(plan), "index": self.test_index.fingerprint},
            **({"learning_rate_of": rule} if rule else {}),
            **({"curve": list(plan.curve)} if plan.curve else {}),
        )

    def _finetuning_sections(
        self, arm: str, target: str, fraction: float, seed: int, pretraining: Mapping
    ) -> tuple[dict[str, Any], int]:
        """Return the sections of a fine-tuning and its number of training images."""
        plan = self.plan
        sections = merged(plan.finetuning, plan.targets[target].finetuning)
        sections = merged(sections, plan.arms[arm].finetuning)
        data = {"fraction_seed": seed, **plan.data, **sections.get("data", {})}
        data["fraction"] = fraction
        batch = data.get("batch_size", 64)
        rows = finetuning_rows(self.index, data)
        iterations = _iterations(sections.get("schedule", {}), len(rows), batch)
        if plan.curve and plan.curve[-1] >= iterations:
            raise PlanError(
                f"curve ends at {plan.curve[-1]} steps, but {target} is trained for {iterations}. "
                "The end is always scored; list earlier steps."
            )
        iterations += self._extra_iterations(
            plan.arms[arm], plan.backbone_of(target), seed, batch, pretraining
        )
        sections["schedule"] = {**sections.get("schedule", {}), "iterations": iterations}
        sections["data"] = data
        return sections, len(rows)

    def _pose_cell(
        self,
        stage: str,
        label: str,
        place: tuple[str, str, float, int],
        sections: dict[str, Any],
        images: int,
        pretraining: Mapping,
        candidates: Mapping[float, str] | None = None,
        **config: Any,
    ) -> Cell:
        """Build a cell that trains a pose network; `place` is (arm, target, fraction, seed)."""
        arm, target, fraction, seed = place
        plan = self.plan
        settings, backbone = plan.targets[target], plan.backbone_of(target)
        before = pretraining.get((arm, backbone, plan.pretraining_seed(seed)))
        if before is None:
            weights = self.weights.of_arm(plan.arms[arm], backbone, arm)
        else:
            weights = {"pretraining": before.key}
        return Cell(
            stage=stage,
            label=label,
            config={
                "format": FORMAT,
                "stage": stage,
                "target": settings.target,
                "model": dict(settings.model),
                "weights": weights,
                "size_px": plan.backbones[backbone].get("size_px", DEFAULT_SIZE_PX),
                "sections": _without_places(sections),
                "hand_models": self._hand_fingerprints(sections.get("hand_model", {})),
                "index": self.index.fingerprint,
                **config,
                "seed": seed,
            },
            places={
                "index": str(self.index.path),
                "test_index": str(self.test_index.path),
                "hand_model": sections.get("hand_model", {}).get("path"),
            },
            arm=arm,
            backbone=backbone,
            seed=seed,
            iterations=sections["schedule"]["iterations"],
            batch_size=min(sections["data"].get("batch_size", 64), images),
            target=target,
            fraction=fraction,
            needs=None if before is None else before.key,
            candidates=candidates or {},
        )

    def _hand_fingerprints(self, section: Mapping[str, Any]) -> dict[str, str]:
        source = HandModelSource(**section)
        if source not in self._hands:
            self._hands[source] = hand_fingerprints(source.load())
        return self._hands[source]

    def _extra_iterations(self, arm: Arm, backbone, seed, batch, pretraining) -> int:
        if arm.extra != AS_MANY_IMAGES_AS_PRETRAINING:
            return arm.extra
        of_seed = (backbone, self.plan.pretraining_seed(seed))
        costs = [
            cell.images for (_, *place), cell in pretraining.items() if tuple(place) == of_seed
        ]
        if not costs:
            raise PlanError("an arm's extra is 'pretraining', but no arm of the plan is pretrained")
        return -(-max(costs) // batch)


def _test_config(plan: Plan) -> dict[str, Any]:
    boxes = plan.test.box_source
    return {
        "split": plan.test.split,
        "images": plan.test.images,
        "hands": list(plan.test.hands),
        **({} if boxes is None else {"box_source": boxes}),
    }


def _iterations(schedule: Mapping[str, Any], images: int, batch_size: int) -> int:
    if not images:
        raise PlanError("no training image is left after the filters of the plan's data.")
    per_epoch = max(1, images // min(batch_size, images))
    try:
        return Schedule(**schedule).total_iterations(per_epoch)
    except (TypeError, ValueError) as error:
        raise PlanError(f"schedule: {error}") from error


def _without_places(sections: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: dict(section) for name, section in sections.items()}
    kept["data"].pop("index", None)
    kept.get("hand_model", {}).pop("path", None)  # its arrays are in the configuration by hash
    return kept


def _label(*parts: str) -> str:
    return "_".join(re.sub(r"[^A-Za-z0-9.%-]+", "-", part).strip("-") for part in parts)
