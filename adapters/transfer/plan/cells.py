"""From a plan to its cells: all runs of the plan, each with its whole configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.pose.hand_models import HandModelSource, hand_fingerprints
from adapters.pose.start import DEFAULT_SIZE_PX
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
    Plan,
    PlanError,
    merged,
)
from adapters.transfer.plan.rows import finetuning_rows, pretraining_rows
from gesture_pretrain.data.index.fraction import require_distinct_fractions
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.pretraining.data_section import DataSection
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.weights.errors import WeightsError


def cells_of(plan: Plan) -> CellTable:
    """Return all cells of a plan.

    Raises:
        PlanError: Weights of the plan are missing, or of another architecture.
        DataError: There is no index.
    """
    builder = _CellBuilder(plan)
    builder.require_distinct_fractions()
    left_out = builder.unavailable_arms()
    pairs = [(t, arm) for t in plan.targets for arm in plan.arms_of(t) if arm not in left_out]
    for arm in plan.arms:
        backbones = dict.fromkeys(plan.backbone_of(t) for t, other in pairs if other == arm)
        if plan.arms[arm].pretrained_here:
            builder.add_pretrainings(arm, backbones)
    selection = {(target, arm): builder.selection_cells(target, arm) for target, arm in pairs}
    finetuning = [
        builder.finetuning_cell(_Place(target, arm, fraction, seed), selection[target, arm])
        for seed in plan.seeds
        for fraction in plan.fractions
        for target, arm in pairs
    ]
    tried = [cell for cells in selection.values() for cell in cells.values()]
    # a seed's results are complete before the next one begins
    ordered = sorted(
        [*builder.pretraining.values(), *tried, *finetuning],
        key=lambda cell: plan.seeds.index(cell.seed),
    )
    return CellTable(tuple({cell.key: cell for cell in ordered}.values()), left_out)


@dataclass(frozen=True)
class _Place:
    """Place of a run of a pose network in the plan."""

    target: str
    arm: str
    fraction: float
    seed: int


class _CellBuilder:
    """Builds cells from a plan's index, weights and hand models.

    Attributes:
        pretraining: (arm, backbone, seed) -> cell; see `add_pretrainings`.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.index = HandIndex.open(plan.data["index"])
        test = plan.test.index
        self.test_index = self.index if test is None else HandIndex.open(test)
        self.weights = InitialWeights(plan)
        self.pretraining: dict[tuple[str, str, int], Cell] = {}
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
        for target in self.plan.targets:
            for name in self.plan.arms_of(target):
                arm = self.plan.arms[name]
                try:
                    self.weights.of_arm(arm, self.plan.backbone_of(target), name)
                except (WeightsError, OSError) as error:
                    if not arm.optional:
                        raise PlanError(f"arms.{name}: {error}") from error
                    found[name] = str(error).splitlines()[0]
        return found

    def add_pretrainings(self, arm: str, backbones: Mapping[str, Any]) -> None:
        """Build the cells of Stage 1 of an arm."""
        for backbone in backbones:
            for seed in dict.fromkeys(map(self.plan.pretraining_seed, self.plan.seeds)):
                cell = self._pretraining_cell(arm, backbone, seed)
                self.pretraining[arm, backbone, seed] = cell

    def _pretraining_cell(self, arm: str, backbone: str, seed: int) -> Cell:
        plan, init = self.plan, self.plan.arms[arm].starts_from
        sections = merged(plan.pretraining, plan.arms[arm].pretrain)
        data = {**plan.data, **sections.get("data", {})}
        if data.get("label_variant") in ("shuffled", "cluster_shuffled"):
            data.setdefault("label_seed", seed)  # another seed, another shuffle
        if "fraction" in data:
            data.setdefault("fraction_seed", seed)  # another seed, another part of the labels
        sections |= {"data": data, "backbone": {**plan.backbones[backbone], "init": init}}
        images = len(pretraining_rows(self.index, data))
        iterations = _set_iterations(sections, images)
        return Cell(
            stage=PRETRAINING,
            label=_label("pretrain", arm, backbone, f"s{seed}"),
            config={
                "format": FORMAT,
                "stage": PRETRAINING,
                "sections": _without_places(sections),
                "index": self.index.fingerprint,
                "seed": seed,
                **self.weights.of_init(init, backbone, arm),
            },
            places={"index": str(self.index.path)},
            arm=arm,
            backbone=backbone,
            seed=seed,
            iterations=iterations,
            batch_size=min(_batch_size(data), images),
        )

    def selection_cells(self, target: str, arm: str) -> dict[float, Cell]:
        """Return a fine-tuning for each candidate learning rate; {} without a rule."""
        rule = self.plan.learning_rate
        if rule is None:
            return {}
        place = _Place(target, arm, self.plan.fractions[0], self.plan.seeds[0])
        sections, images = self._pose_sections(place)
        sections["data"] |= {"val_split": rule.split, "val_images": rule.images}
        at_the_end = {"validate_every": sections["schedule"]["iterations"]}
        sections["training"] = {**sections.get("training", {}), **at_the_end}
        cells = {}
        for rate in rule.candidates:
            optimizer = {**sections.get("optimizer", {}), "lr": rate}
            tried = {**sections, "optimizer": optimizer}
            label = _label("select", target, arm, f"lr{rate:g}")
            cells[rate] = self._pose_cell(SELECTION, label, place, tried, images)
        return cells

    def finetuning_cell(self, place: _Place, tried: Mapping[float, Cell]) -> Cell:
        """Build the cell of Stage 2 of an arm in a target.

        Args:
            place: Place in the plan.
            tried: Cells of the candidate learning rates; {} without a rule.
        """
        plan, test = self.plan, self.plan.test
        percent = f"{100 * place.fraction:g}pc"
        config: dict[str, Any] = {
            "test": {
                "split": test.split,
                "images": test.images,
                "hands": list(test.hands),
                **({} if test.box_source is None else {"box_source": test.box_source}),
                "index": self.test_index.fingerprint,
            }
        }
        if tried:
            config["learning_rate_of"] = {f"{rate:g}": cell.key for rate, cell in tried.items()}
        if plan.curve:
            config["curve"] = list(plan.curve)
        return self._pose_cell(
            FINETUNING,
            _label(place.target, place.arm, percent, f"s{place.seed}"),
            place,
            *self._pose_sections(place),
            candidates={rate: cell.key for rate, cell in tried.items()},
            **config,
        )

    def _pose_sections(self, place: _Place) -> tuple[dict[str, Any], int]:
        """Return the sections of a run and its number of training images."""
        plan, arm = self.plan, self.plan.arms[place.arm]
        sections = merged(plan.finetuning, plan.targets[place.target].finetuning)
        sections = merged(sections, arm.finetuning)
        data = {"fraction_seed": place.seed, **plan.data, **sections.get("data", {})}
        sections["data"] = data | {"fraction": place.fraction}
        images = len(finetuning_rows(self.index, sections["data"]))
        iterations = _set_iterations(sections, images)
        if plan.curve and plan.curve[-1] >= iterations:
            raise PlanError(
                f"curve ends at {plan.curve[-1]} steps, but {place.target} is trained for "
                f"{iterations}. The end is always scored; list earlier steps."
            )
        sections["schedule"]["iterations"] += self._extra_iterations(place, _batch_size(data))
        return sections, images

    def _pose_cell(
        self,
        stage: str,
        label: str,
        place: _Place,
        sections: dict[str, Any],
        images: int,
        candidates: Mapping[float, str] | None = None,
        **config: Any,
    ) -> Cell:
        """Build a cell that trains a pose network; `config` is added to its configuration."""
        plan = self.plan
        target, backbone = plan.targets[place.target], plan.backbone_of(place.target)
        hand_model = sections.get("hand_model", {})
        before = self.pretraining.get((place.arm, backbone, plan.pretraining_seed(place.seed)))
        if before is None:
            weights = self.weights.of_arm(plan.arms[place.arm], backbone, place.arm)
        else:
            weights = {"pretraining": before.key}
        return Cell(
            stage=stage,
            label=label,
            config={
                "format": FORMAT,
                "stage": stage,
                "target": target.target,
                "model": dict(target.model),
                "weights": weights,
                "size_px": plan.backbones[backbone].get("size_px", DEFAULT_SIZE_PX),
                "sections": _without_places(sections),
                "hand_models": self._hand_fingerprints(hand_model),
                "index": self.index.fingerprint,
                **config,
                "seed": place.seed,
            },
            places={
                "index": str(self.index.path),
                "test_index": str(self.test_index.path),
                "hand_model": hand_model.get("path"),
            },
            arm=place.arm,
            backbone=backbone,
            seed=place.seed,
            iterations=sections["schedule"]["iterations"],
            batch_size=min(_batch_size(sections["data"]), images),
            target=place.target,
            fraction=place.fraction,
            needs=None if before is None else before.key,
            candidates=candidates or {},
        )

    def _hand_fingerprints(self, section: Mapping[str, Any]) -> dict[str, str]:
        source = HandModelSource(**section)
        if source not in self._hands:
            self._hands[source] = hand_fingerprints(source.load())
        return self._hands[source]

    def _extra_iterations(self, place: _Place, batch_size: int) -> int:
        extra = self.plan.arms[place.arm].extra
        if extra != AS_MANY_IMAGES_AS_PRETRAINING:
            return extra
        start = (self.plan.backbone_of(place.target), self.plan.pretraining_seed(place.seed))
        costs = [cell.images for (_, *key), cell in self.pretraining.items() if tuple(key) == start]
        if not costs:
            raise PlanError(
                f"arms.{place.arm}.extra is 'pretraining', but no arm is pretrained for "
                f"{place.target}. Give a number of iterations."
            )
        return -(-max(costs) // batch_size)


def _batch_size(data: Mapping[str, Any]) -> int:
    return data.get("batch_size", DataSection.batch_size)


def _set_iterations(sections: dict[str, Any], images: int) -> int:
    """Replace the length of a schedule by its number of iterations, and return it."""
    if not images:
        raise PlanError("No training image is left after the filters of the plan's data.")
    schedule = sections.get("schedule", {})
    per_epoch = images // min(_batch_size(sections["data"]), images)
    try:
        iterations = Schedule(**schedule).total_iterations(per_epoch)
    except (TypeError, ValueError) as error:
        raise PlanError(f"schedule: {error}") from error
    sections["schedule"] = {**schedule, "iterations": iterations}
    return iterations


def _without_places(sections: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: dict(section) for name, section in sections.items()}
    kept["data"].pop("index", None)
    kept.get("hand_model", {}).pop("path", None)  # its arrays are in the configuration by hash
    return kept


def _label(*parts: str) -> str:
    return "_".join(re.sub(r"[^A-Za-z0-9.%-]+", "-", part).strip("-") for part in parts)
