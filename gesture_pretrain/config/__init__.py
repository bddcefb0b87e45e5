"""Config files of both stages: reading, overriding and checking them."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "apply_overrides": "gesture_pretrain.config.override",
        "arguments_of": "gesture_pretrain.config.sections",
        "check_section": "gesture_pretrain.config.sections",
        "find_config": "gesture_pretrain.config.kind",
        "read_config": "gesture_pretrain.config.file",
    },
)
