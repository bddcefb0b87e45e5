"""The backbone of a trained pose network as registered weights: a start for other networks."""

from os import PathLike

from adapters.pose.checkpoint import load_pose_model
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.folder import StoredWeights


def register_pose_backbone(
    folder: str | PathLike, tag: str, *, overwrite: bool = False
) -> StoredWeights:
    """Store the backbone of a trained pose network in the registry, without gesture heads.

    Args:
        folder: Folder of the network, `<run>/model`.
        tag: The weights are registered as `<architecture>.<tag>`.
        overwrite: Replace weights of the same name.

    Raises:
        WeightsError: The folder is damaged or holds something else.
        FileExistsError: The name is taken and `overwrite` is false.
    """
    stored = load_pose_model(folder)
    card = stored.card
    return export_backbone(
        stored.model.backbone,
        tag=tag,
        config=card.config,
        metrics=card.metrics,
        notes=f"Backbone of a {card.target} network that was trained on poses of "
        f"{card.data['name']}, not on gestures.",
        overwrite=overwrite,
    )
