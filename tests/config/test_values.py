"""Values that no run can have are refused when a config is read."""

import pytest

from gesture_pretrain.config.values import check_shared_values
from gesture_pretrain.pretraining.run import check_sections


def test_the_defaults_and_sections_of_other_kinds_pass():
    check_shared_values()
    check_shared_values(data={"val_split": None}, optimizer={"lr_scales": {"x.": 2}}, heads={})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"data": {"train_split": "trian"}}, "data.train_split is 'trian'.* mean 'train'"),
        ({"data": {"val_split": "x"}}, "data.val_split is 'x'; possible: train, val, test, None"),
        ({"data": {"fraction": 0.0}}, "data.fraction .* 0.0"),
        ({"data": {"fraction": 1.5}}, "data.fraction .* 1.5"),
        ({"data": {"batch_size": 0}}, "data.batch_size must be at least 1, got 0"),
        ({"data": {"val_images": 0}}, "data.val_images must be at least 1, got 0"),
        ({"data": {"workers": -1}}, "data.workers must be at least 0, got -1"),
        ({"data": {"augmentation": {"turn": 1}}}, "Unknown key data.augmentation.turn"),
        ({"data": {"augmentation": {"flip": 2}}}, "Augmentation.flip is 2"),
        ({"optimizer": {"lr": -1.0}}, "^optimizer.lr, .* must not be negative, got -1.0"),
        ({"optimizer": {"betas": (0.9,)}}, "optimizer: "),
        ({"schedule": {"iterations": 0}}, "schedule.iterations must be at least 1"),
        ({"training": {"precision": "bf61"}}, "training.precision is 'bf61'.* mean 'bf16'"),
        ({"training": {"threads": 0}}, "training.threads must be at least 1"),
    ],
)
def test_an_impossible_value_is_named(section, message):
    with pytest.raises(ValueError, match=message):
        check_shared_values(**section)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"data": {"label_variant": "shufled"}}, "data.label_variant is .* mean 'shuffled'"),
        ({"data": {"box_source": "joints"}}, "data.box_source is .*annotation, rootnet"),
        ({"objective": {"ramp": {"every_epochs": 0}}}, "is invalid"),
        ({"training": {"log_every": 0}}, "training.log_every"),
    ],
)
def test_a_pretraining_config_is_checked_for_its_values(section, message):
    data = {"index": "x", **section.pop("data", {})}
    with pytest.raises(ValueError, match=message):
        check_sections(data=data, **section)
