"""The `config.json` in an exported folder from which timm and transformers build the network."""

import json

import timm

from gesture_pretrain.models.architectures import ARCHS
from gesture_pretrain.models.backbone import Backbone, timm_options

TIMM_CONFIG_FILE = "config.json"


def timm_config(backbone: Backbone) -> str | None:
    """Format the config that `timm.create_model("local-dir:FOLDER", pretrained=True)` reads.

    Returns:
        JSON; None if timm has no such architecture, or builds it with head modules that the
        exported weights do not contain.
    """
    if backbone.arch in ARCHS or not timm.is_model(backbone.arch) or backbone.removed_modules:
        return None
    spec = backbone.input_spec
    content = {
        "architecture": backbone.arch,
        "num_classes": 0,
        "num_features": backbone.net.num_features,
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [3, spec.size_px, spec.size_px],
            "mean": [float(value) for value in spec.mean],
            "std": [float(value) for value in spec.std],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "classifier": backbone.net.pretrained_cfg.get("classifier"),
            "first_conv": backbone.net.pretrained_cfg.get("first_conv"),
        },
    }
    options = timm_options(backbone.arch, spec.size_px)
    if options:
        content["model_args"] = options
    return json.dumps(content, indent=2) + "\n"
