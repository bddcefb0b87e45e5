"""Learning rates that decrease from the heads to the stem of a pretrained backbone.

Early layers of a pretrained network are general and need small changes only. Layer `i` of `N` is
trained at `decay ** (N - i)` times the learning rate of the heads (Clark et al., ELECTRA, ICLR
2020; Bao et al., BEiT, ICLR 2022). timm defines the layers of its networks.
"""

from timm.models import group_parameters
from torch import nn


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """Compute factors on the learning rate by parameter name, for all networks of timm in a model.

    Args:
        model: Model that contains at least one network with timm's `group_matcher`.
        decay: Factor from a layer to the one below, above 0 and at most 1.

    Returns:
        Factors of the parameters in these networks. All other parameters keep 1.

    Raises:
        ValueError: No network defines its layers.
    """
    scales = {}
    for place, net in model.named_modules():
        if hasattr(net, "group_matcher"):
            layers = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
            count = max(layers.values()) + 1
            prefix = f"{place}." if place else ""
            scales |= {f"{prefix}{name}": decay ** (count - i) for name, i in layers.items()}
    if not scales:
        raise ValueError(
            f"optimizer.layer_decay needs a network that defines its layers, as timm's do "
            f"(group_matcher), and {type(model).__name__} has none. Leave it out."
        )
    return scales
