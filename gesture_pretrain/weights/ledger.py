"""What became of every tensor when weights were put into a network.

A load that leaves part of a network at random trains as if nothing had happened. The ledger
accounts for each tensor of file and network, so that "pretrained" can be checked.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

STATUSES = ("matched", "fresh", "missing", "wrong_shape", "unexpected", "dropped_by_name")


@dataclass(frozen=True)
class LedgerEntry:
    """One tensor.

    Attributes:
        name: In the network; for `unexpected` and `dropped_by_name`, in the file.
        status: "matched": taken from the file. "fresh": not in the file, and declared to keep its
            random values. "missing": not in the file, undeclared. "wrong_shape": in both, not
            alike. "unexpected": in the file only, undeclared. "dropped_by_name": in the file,
            declared as left out.
        size: Numbers in it.
        num_bytes: Bytes of it.
        note: Why, or the two shapes.
    """

    name: str
    status: str
    size: int
    num_bytes: int
    note: str = ""


@dataclass(frozen=True)
class WeightLedger:
    """All tensors of a file and a network.

    Attributes:
        entries: One per tensor, those of the network first, in its order.
        source: Where the weights came from.
        stripped: Prefixes taken off every name, from the outside in.
        container: Keys under which the file held its tensors, from the outside in.
    """

    entries: tuple[LedgerEntry, ...]
    source: str = ""
    stripped: tuple[str, ...] = ()
    container: tuple[str, ...] = ()

    def names(self, status: str) -> tuple[str, ...]:
        """Names of the tensors with a status.

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
        """Nothing undeclared: no tensor missing, of a wrong shape or unexpected."""
        return not (self.missing or self.wrong_shape or self.unexpected)

    @property
    def matched_share(self) -> float:
        """Share of the network's numbers (parameters and buffers) that came from the file."""
        return self._share("size")

    @property
    def matched_share_bytes(self) -> float:
        """Share of the network's bytes that came from the file."""
        return self._share("num_bytes")

    def table(self) -> str:
        """The ledger as text: tensors per stage and status, shares, then what is not matched."""
        lines = [f"weights from {self.source}"] if self.source else []
        if self.container:
            lines.append(f"opened container: {' > '.join(self.container)}")
        if self.stripped:
            lines.append(f"stripped prefixes: {' '.join(self.stripped)}")
        return "\n".join([*lines, *self._stage_rows(), self._share_line(), *self._detail_rows()])

    def to_json(self) -> str:
        """All of it as JSON text."""
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
            "matched_share_bytes": self.matched_share_bytes,
        }
        return json.dumps({**head, **listed}, indent=1)

    def _share(self, measure: str) -> float:
        in_net = [e for e in self.entries if e.status not in ("unexpected", "dropped_by_name")]
        total = sum(getattr(e, measure) for e in in_net)
        taken = sum(getattr(e, measure) for e in in_net if e.status == "matched")
        return taken / total if total else 0.0

    def _share_line(self) -> str:
        return (
            f"matched: {100 * self.matched_share:.2f} % of the network's numbers, "
            f"{100 * self.matched_share_bytes:.2f} % of its bytes"
        )

    def _stage_rows(self) -> list[str]:
        counts = Counter((entry.name.split(".")[0], entry.status) for entry in self.entries)
        stages = dict.fromkeys(entry.name.split(".")[0] for entry in self.entries)
        used = [s for s in STATUSES if any(status == s for _, status in counts)]
        width = max([len("all tensors"), *map(len, stages)])
        rows = [f"{'':{width}}" + "".join(f"{status:>17}" for status in used)]
        for stage in stages:
            rows.append(f"{stage:{width}}" + "".join(f"{counts[stage, s]:17d}" for s in used))
        totals = "".join(f"{len(self.names(s)):17d}" for s in used)
        return [*rows, f"{'all tensors':{width}}{totals}"]

    def _detail_rows(self, limit: int = 10) -> list[str]:
        rows = []
        for status in STATUSES[1:]:
            entries = [entry for entry in self.entries if entry.status == status]
            for entry in entries[:limit]:
                rows.append(f"{status}: {entry.name}" + (f" ({entry.note})" if entry.note else ""))
            if len(entries) > limit:
                rows.append(f"{status}: ... and {len(entries) - limit} more")
        return rows


def compare_tensors(
    target: dict[str, Tensor],
    offered: dict[str, Tensor],
    *,
    fresh: dict[str, str] | None = None,
    dropped: dict[str, Tensor] | None = None,
    **origin,
) -> WeightLedger:
    """Account for every tensor.

    Args:
        target: The network's tensors by name.
        offered: The file's, under the network's names.
        fresh: Prefixes (ending in "."), full names or name endings (beginning with ".") that the
            network may keep at its own values, to the reason.
        dropped: The file's tensors that were left out by name, under the file's names.
        **origin: `source`, `stripped` and `container` of the ledger.
    """
    entries = [_target_entry(n, t, offered.get(n), fresh or {}) for n, t in target.items()]
    extra = [(n, t, "unexpected") for n, t in offered.items() if n not in target]
    extra += [(n, t, "dropped_by_name") for n, t in (dropped or {}).items()]
    entries += [LedgerEntry(n, status, t.numel(), t.nbytes) for n, t, status in extra]
    return WeightLedger(tuple(entries), **origin)


def fingerprint(state_dict: dict[str, Tensor]) -> str:
    """sha256 over names, dtypes, shapes and bytes: equal only where the weights are the same."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _target_entry(
    name: str, tensor: Tensor, offered: Tensor | None, fresh: dict[str, str]
) -> LedgerEntry:
    size = (tensor.numel(), tensor.nbytes)
    if offered is None:
        for key, reason in fresh.items():
            if (
                name == key
                or (key.endswith(".") and name.startswith(key))
                or (key.startswith(".") and name.endswith(key))
            ):
                return LedgerEntry(name, "fresh", *size, reason)
        return LedgerEntry(name, "missing", *size)
    if offered.shape != tensor.shape:
        note = f"file {tuple(offered.shape)}, network {tuple(tensor.shape)}"
        return LedgerEntry(name, "wrong_shape", *size, note)
    note = "" if offered.dtype == tensor.dtype else f"{offered.dtype} to {tensor.dtype}"
    return LedgerEntry(name, "matched", *size, note)
