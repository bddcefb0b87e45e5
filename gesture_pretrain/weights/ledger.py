"""Account of every tensor when weights are loaded into a network.

A network whose weights were only partly loaded trains without any sign of the problem. The ledger
lists each tensor of the file and the network, so that the load can be checked.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from gesture_pretrain.tables import text_table

STATUSES = ("matched", "fresh", "missing", "wrong_shape", "unexpected", "dropped_by_name")


@dataclass(frozen=True)
class LedgerEntry:
    """One tensor.

    Attributes:
        name: Name in the network; for `unexpected` and `dropped_by_name`, name in the file.
        status: "matched": loaded from the file. "fresh": not in the file, and declared to keep its
            random values. "missing": not in the file, and not declared. "wrong_shape": in both,
            with different shapes. "unexpected": only in the file, and not declared.
            "dropped_by_name": in the file, and declared as unused.
        size: Number of elements.
        note: Reason, or the two shapes.
    """

    name: str
    status: str
    size: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


@dataclass(frozen=True)
class WeightLedger:
    """All tensors of a file and a network.

    Attributes:
        entries: One entry per tensor, first those of the network, in its order.
        source: Origin of the weights.
        stripped: Prefixes removed from all names, outermost first.
        container: Keys under which the file stores its tensors, outermost first.
    """

    entries: tuple[LedgerEntry, ...]
    source: str = ""
    stripped: tuple[str, ...] = ()
    container: tuple[str, ...] = ()

    def names(self, status: str) -> tuple[str, ...]:
        """List the names of the tensors with a status.

        Raises:
            ValueError: Unknown status.
        """
        if status not in STATUSES:
            raise ValueError(f"unknown status {status!r}; possible: {', '.join(STATUSES)}")
        return tuple(entry.name for entry in self.entries if entry.status == status)

    @property
    def matched(self) -> tuple[str, ...]:
        return self.names("matched")

    @property
    def fresh(self) -> tuple[str, ...]:
        return self.names("fresh")

    @property
    def missing(self) -> tuple[str, ...]:
        return self.names("missing")

    @property
    def wrong_shape(self) -> tuple[str, ...]:
        return self.names("wrong_shape")

    @property
    def unexpected(self) -> tuple[str, ...]:
        return self.names("unexpected")

    @property
    def dropped_by_name(self) -> tuple[str, ...]:
        return self.names("dropped_by_name")

    @property
    def is_complete(self) -> bool:
        """Whether no tensor is missing, of a wrong shape or unexpected."""
        return not (self.missing or self.wrong_shape or self.unexpected)

    @property
    def matched_share(self) -> float:
        """Fraction of the network's elements (parameters and buffers) loaded from the file."""
        in_net = [e for e in self.entries if e.status not in ("unexpected", "dropped_by_name")]
        total = sum(entry.size for entry in in_net)
        return sum(e.size for e in in_net if e.status == "matched") / total if total else 0.0

    def table(self) -> str:
        """Format as text: tensors by stage and status, fractions, and all unmatched tensors."""
        origin = {
            "weights from": self.source,
            "opened container:": " > ".join(self.container),
            "stripped prefixes:": " ".join(self.stripped),
        }
        fraction = f"matched: {100 * self.matched_share:.2f} % of the network's elements"
        lines = [f"{what} {text}" for what, text in origin.items() if text]
        return "\n".join([*lines, self._stages(), fraction, *self._unmatched()])

    def to_json(self) -> str:
        """Format the complete ledger as JSON."""
        listed = {
            status: [
                {"name": e.name, "size": e.size, **({"note": e.note} if e.note else {})}
                for e in self.entries
                if e.status == status
            ]
            for status in STATUSES
        }
        head = {
            "source": self.source,
            "container": list(self.container),
            "stripped": list(self.stripped),
            "matched_share": self.matched_share,
        }
        return json.dumps({**head, **listed}, indent=1)

    def _stages(self) -> str:
        counts = Counter((entry.name.split(".")[0], entry.status) for entry in self.entries)
        used = [status for status in STATUSES if self.names(status)]
        rows = [
            (stage, *(counts[stage, status] for status in used))
            for stage in dict.fromkeys(stage for stage, _ in counts)
        ]
        rows.append(("all tensors", *(len(self.names(status)) for status in used)))
        return text_table(("", *used), rows)

    def _unmatched(self, limit: int = 10) -> list[str]:
        lines = []
        for status in STATUSES[1:]:
            entries = [entry for entry in self.entries if entry.status == status]
            lines += [f"{status}: {entry}" for entry in entries[:limit]]
            if len(entries) > limit:
                lines.append(f"{status}: ... and {len(entries) - limit} more")
        return lines


def compare_tensors(
    target: dict[str, Tensor],
    offered: dict[str, Tensor],
    *,
    fresh: dict[str, str] | None = None,
    dropped: dict[str, Tensor] | None = None,
    **origin,
) -> WeightLedger:
    """Compare the tensors of a network with those of a file.

    Args:
        target: Tensors of the network by name.
        offered: Tensors of the file, under the network's names.
        fresh: Tensors that may keep their initial values: prefix (ending in "."), full name or
            suffix (starting with ".") to the reason.
        dropped: Tensors of the file that are deliberately unused, under the file's names.
        **origin: `source`, `stripped` and `container` of the ledger.
    """
    entries = [_target_entry(n, t, offered.get(n), fresh or {}) for n, t in target.items()]
    extra = [(n, t, "unexpected") for n, t in offered.items() if n not in target]
    extra += [(n, t, "dropped_by_name") for n, t in (dropped or {}).items()]
    entries += [LedgerEntry(n, status, t.numel()) for n, t, status in extra]
    return WeightLedger(tuple(entries), **origin)


def fingerprint(state_dict: dict[str, Tensor]) -> str:
    """Hash names, dtypes, shapes and bytes of all tensors (SHA-256)."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _target_entry(
    name: str, tensor: Tensor, offered: Tensor | None, fresh: dict[str, str]
) -> LedgerEntry:
    size = tensor.numel()
    if offered is None:
        for key, reason in fresh.items():
            if (
                name == key
                or (key.endswith(".") and name.startswith(key))
                or (key.startswith(".") and name.endswith(key))
            ):
                return LedgerEntry(name, "fresh", size, reason)
        return LedgerEntry(name, "missing", size)
    if offered.shape != tensor.shape:
        note = f"file {tuple(offered.shape)}, network {tuple(tensor.shape)}"
        return LedgerEntry(name, "wrong_shape", size, note)
    note = "" if offered.dtype == tensor.dtype else f"{offered.dtype} to {tensor.dtype}"
    return LedgerEntry(name, "matched", size, note)
