"""The batch sampler: endless, resumable, the same for any number of processes."""

from itertools import islice

import numpy as np
import pytest
from torch.utils.data import DataLoader

from gesture_pretrain.data.samples.sampling import EpochBatchSampler, class_balanced_weights


def batches(count, num_samples=23, **options):
    options = {"batch_size": 4, "seed": 5, **options}
    return list(islice(EpochBatchSampler(num_samples, **options), count))


IMBALANCED = [0] * 200 + [1] * 20 + [2] * 4 + [-1] * 50
BALANCING = class_balanced_weights(IMBALANCED)


@pytest.mark.parametrize("weights", [None, [0.5, 1, 1, 2, 0] * 4 + [0, 0, 1]])
def test_ranks_together_see_the_batch_of_one_process(weights):
    whole = batches(13, weights=weights)
    parts = [batches(13, weights=weights, rank=r, world_size=2) for r in (0, 1)]
    assert whole == [left + right for left, right in zip(*parts, strict=True)]
    assert all(len(part) == 2 for part in parts[0])


@pytest.mark.parametrize("start", [0, 1, 4, 5, 12])
@pytest.mark.parametrize("options", [{}, {"weights": [0, 1, 1] * 7 + [2, 2]}])
def test_starting_late_goes_on_with_the_same_batches(start, options):
    assert batches(4, start_iteration=start, **options) == batches(16, **options)[start : start + 4]


def test_start_iteration_may_be_set_after_the_loader_was_built():
    sampler = EpochBatchSampler(23, batch_size=4, seed=5)
    loader = DataLoader(_Echo(), batch_sampler=sampler, collate_fn=list)
    sampler.start_iteration = 7
    assert list(islice(loader, 3)) == batches(10)[7:]


def test_an_epoch_visits_every_sample_at_most_once_and_epochs_differ():
    stream = batches(10)
    epochs = [sum(stream[:5], []), sum(stream[5:], [])]
    for number, epoch in enumerate(epochs):
        assert {e for e, _ in epoch} == {number}
        positions = [position for _, position in epoch]
        assert len(set(positions)) == 20 and set(positions) <= set(range(23))
    assert [p for _, p in epochs[0]] != [p for _, p in epochs[1]]


GROUPS = [0, 1, 1, 1, 2, 2, 2, 2, 3, 3] * 2 + [4, 4, 5]  # ten runs of at most three


def test_samples_of_a_group_follow_one_another():
    stream = batches(46, batch_size=1, groups=GROUPS, together=3)
    order = [position for batch in stream for _, position in batch]
    assert sorted(order[:23]) == list(range(23)) and order[:23] != order[23:]
    groups = [GROUPS[position] for position in order[:23]]
    kept = sum(a == b for a, b in zip(groups[:-1], groups[1:], strict=True))
    assert kept >= 23 - 10


def test_groups_are_drawn_without_weights_only():
    with pytest.raises(ValueError, match="groups"):
        batches(1, groups=GROUPS, together=2, weights=[1] * 23)


def test_seeds_give_other_orders():
    assert batches(3) == batches(3) != batches(3, seed=6)


def test_class_balanced_frequencies():
    options = {"num_samples": len(IMBALANCED), "batch_size": 50, "weights": BALANCING}
    drawn = [position for _, position in sum(batches(60, **options), [])]
    counts = np.bincount(np.array(IMBALANCED)[drawn], minlength=3)
    # 3,000 draws of probability 1/3: standard deviation sqrt(3000 * 2/9) = 26; 5 of them
    assert np.abs(counts - 1000).max() < 130
    assert max(drawn) < 224  # samples without a class are never drawn


def test_repeated_draws_get_different_augmentation_keys():
    # a sample of a small class comes several times per epoch; one key would repeat the crop
    options = {"num_samples": len(IMBALANCED), "batch_size": 50, "weights": BALANCING}
    keys = [key for key, _ in sum(batches(30, **options), [])]
    assert len(set(keys)) == len(keys)


def test_class_balanced_weights():
    assert class_balanced_weights([0, 0, 1, -1]).tolist() == [0.5, 0.5, 1.0, 0.0]
    with pytest.raises(ValueError, match="all are -1"):
        class_balanced_weights([-1, -1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 5, "world_size": 2}, "multiple of world_size 2"),
        ({"batch_size": 0}, "positive multiple"),
        ({"batch_size": 24}, "23 samples do not fill one batch of 24"),
        ({"rank": 2, "world_size": 2}, "rank 2 is not one of"),
        ({"weights": [1]}, "1 weights for 23 samples"),
        ({"weights": [0] * 23}, "not all zero"),
        ({"weights": [-1] + [1] * 22}, "not negative"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        batches(1, **options)


class _Echo:
    def __getitem__(self, key):
        return key
