"""Stage 1 as one call: build, lock the run folder, train, export to the registry."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gesture_pretrain.config.file import read_config
from gesture_pretrain.config.override import Overrides, set_key
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.device import choose_device
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.pretraining.presets import apply_preset
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.pretraining.sections import check_config
from gesture_pretrain.pretraining.training_accuracy import training_accuracy
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.placement import evaluated_model
from gesture_pretrain.training.run_folder import current_commit, write_run_folder
from gesture_pretrain.training.run_lock import run_lock
from gesture_pretrain.training.runner import TrainingRunner
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.folder import StoredWeights
from gesture_pretrain.weights.record import DataRecord, backbone_name
from gesture_pretrain.weights.registry import registry_home
from gesture_pretrain.weights.reservation import reserved_name


@dataclass(frozen=True)
class PretrainedBackbone:
    """Result of a pretraining run.

    Attributes:
        name: Name of the weights, `<architecture>.<tag>`; `load_backbone` accepts it.
        run: Run folder with config, log, metrics and checkpoints.
        weights: Folder of the exported weights. None in every process but the first.
        metrics: Scores of the last validation by name; empty without validation.
        train_metrics: Scores on training images without augmentation.
    """

    name: str
    run: Path
    weights: Path | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_metrics: Mapping[str, float] = field(default_factory=dict)


def pretrain(
    config: str | Path | Mapping[str, Any],
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    init: str | Path | None = None,
    name: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    overrides: Overrides = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    export_to: str | Path | None = None,
    notes: str = "",
    before_training: Callable[[TrainingRunner], None] | None = None,
) -> PretrainedBackbone:
    """Pretrain a backbone on gesture labels and register its weights.

    Args:
        config: Name of a shipped config ("hrnet_w32_interhand"), path of a config file, or a
            mapping of sections (fields of `PretrainingSections`).
        data: Index, or dataset that contains one. Default: `data.index` of the config.
        out: Run folder. Default: `runs/<config>_<tag>`.
        init: Initial weights: "random", "imagenet", "timm", a weight file or a registered
            backbone. Default: `backbone.init` of the config.
        name: Tag; the weights are registered as `<architecture>.<tag>`. Default: the config's tag,
            else its file name.
        seed: Random seed. Default: the config's seed, else 0.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        overrides: Changes to the config, see `apply_overrides`; applied first.
        resume: Continue from the last checkpoint in `out`.
        overwrite: Replace registered weights of the same name.
        progress: Print progress, the table of initial weights and the results.
        export_to: Folder that receives the weights instead of the registry.
        notes: Free text for the card of the weights.
        before_training: Called with the built runner before anything is written or trained.

    Raises:
        ValueError, OSError: Wrong input, such as an unknown key or a folder in use.
        UnknownBackbone, WeightsUnavailableError: The initial weights are not available.
        TrainingStopped: The run ended early and can be resumed.
    """
    given = {"data.index": data, "backbone.init": init, "seed": seed, "tag": name}
    resolved = resolve_config(config, overrides, given)
    out = Path(out or Path("runs") / f"{_stem(config)}_{resolved['tag']}")
    sections = {key: value for key, value in resolved.items() if key != "tag"}
    runner = build_runner(out=out, resume=resume, device=device, progress=progress, **sections)
    if before_training is not None:
        before_training(runner)
    say = print if progress else lambda *_: None
    weights_name = backbone_name(_network(runner).backbone.arch, resolved["tag"])
    with run_lock(out, resume=resume):
        if rank_and_world_size()[0] > 0:
            _train(runner)
            return PretrainedBackbone(weights_name, out)
        with _reserved(weights_name, out, export_to, overwrite) as check_name:
            _begin_run_folder(runner, out, resolved, weights_name, device, say)
            learned = _train(runner)
            check_name()
            stored = _export(runner, resolved, learned, export_to, notes)
    say(f"Registered {stored.name} in {stored.path}")
    return PretrainedBackbone(stored.name, out, stored.path, dict(runner.last_metrics), learned)


def resolve_config(
    config: str | Path | Mapping[str, Any],
    overrides: Overrides = (),
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read a pretraining config and apply overrides, then given values, presets and defaults.

    Args:
        config: As in `pretrain`.
        overrides: As in `pretrain`.
        given: Dotted keys to values; None leaves the config's own.

    Raises:
        ValueError: An unknown section or key, or an impossible value.
    """
    resolved = read_config(config, overrides, kind="pretrain")
    for key, value in (given or {}).items():
        if value is not None:
            set_key(resolved, key, str(value) if isinstance(value, Path) else value)
    apply_preset(resolved)
    check_config(resolved)
    resolved.setdefault("tag", _stem(config))
    resolved.setdefault("seed", 0)
    return resolved


def _train(runner: TrainingRunner) -> dict[str, float]:
    """Train to the end in all processes, then evaluate training images."""
    runner.train()
    workers = runner.data.train.num_workers
    return training_accuracy(evaluated_model(runner), runner.data.train.dataset, workers=workers)


def _reserved(
    name: str, out: Path, export_to: str | Path | None, overwrite: bool
) -> AbstractContextManager[Callable[[], None]]:
    """Reserve the name in the registry, unless the weights are exported elsewhere."""
    if export_to is not None:
        return nullcontext(lambda: None)
    _require_writable(registry_home())
    return reserved_name(registry_home(), name, out, overwrite=overwrite)


def _require_writable(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise type(error)(
            f"The registry {home} cannot be written ({error.strerror}), so the weights could not "
            "be stored at the end. Set GESTURE_PRETRAIN_HOME to a writable folder."
        ) from error


def _begin_run_folder(
    runner: TrainingRunner, out: Path, config: dict, name: str, device: str, say: Callable
) -> None:
    changed = write_run_folder(out, config, name=name, device=str(choose_device(device)))
    if changed:
        say("Resuming with changed settings: " + "; ".join(changed))
    ledger = _network(runner).backbone.ledger
    if ledger is not None:
        write_bytes_atomically(out / "initial_weights.json", ledger.to_json().encode())
        say(ledger.table())
    say(f"Run folder {out}")


def _export(
    runner: TrainingRunner,
    config: dict,
    learned: Mapping[str, float],
    export_to: str | Path | None,
    notes: str,
) -> StoredWeights:
    """Export the weights under the name that the run has reserved."""
    data = runner.data
    index = HandIndex.open(config["data"]["index"])
    beyond_paper = check_config(config).beyond_paper
    return export_backbone(
        _network(runner),
        tag=config["tag"],
        taxonomy=data.taxonomy,
        data=DataRecord.from_index_meta(
            data.summary["source"],
            index_fingerprint=index.fingerprint,
            validated_on=data.summary["validated_on"],
            withheld=data.summary.get("withheld", []),
            labels_used=beyond_paper.labels,
            beyond_paper=beyond_paper.options,
            **_teacher(runner),
        ),
        metrics={
            "iterations": runner.iter,
            "train_images": data.summary["train_images"],
            "train_moments": data.summary["train_moments"],
            "val_images": data.summary["val_images"],
            **{f"val_{name}": value for name, value in runner.last_metrics.items()},
            **{f"train_{name}": value for name, value in learned.items()},
        },
        config=config,
        commit=current_commit(),
        notes=notes,
        out=export_to,
        overwrite=True,
    )


def _teacher(runner: TrainingRunner) -> dict[str, Any]:
    """Describe the teacher, whose labels the network has learned too."""
    distillation = evaluated_model(runner).distillation
    return {} if distillation is None else {"teacher": distillation.teacher.describe()}


def _network(runner: TrainingRunner):
    """The network that is validated and exported."""
    return evaluated_model(runner).network


def _stem(config: str | Path | Mapping) -> str:
    return "pretraining" if isinstance(config, Mapping) else Path(config).stem
