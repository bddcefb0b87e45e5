"""Find InterHand2.6M's annotation files in either of its two layouts.

v1.0 keeps them in `annotations/{train,val,test}/`, v0.0 in
`annotations/{all,human_annot,machine_annot}/`. The layout does not determine the release, because
the files of v0.0 were also published as v1.0. Only the counts do, see `published_counts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import SPLITS

SUBSETS = ("all", "human_annot", "machine_annot")


@dataclass(frozen=True)
class AnnotationFiles:
    """The files of one split.

    Attributes:
        split: "train", "val" or "test".
        images: Folder that image names are relative to.
        data, camera, joints: Annotation files of every release.
        mano: MANO fits; None without fits.
        detections: Output of RootNet; None without detections.
    """

    split: str
    images: Path
    data: Path
    camera: Path
    joints: Path
    mano: Path | None = None
    detections: Path | None = None


def find_annotation_files(
    root: str | Path,
    *,
    splits: list[str] | None = None,
    subset: str | None = None,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
) -> list[AnnotationFiles]:
    """Find the annotation files of a dataset's splits.

    Args:
        root: Folder that holds `annotations` and `images`, or the `InterHand2.6M_*fps_batch*`
            folder that holds `images`.
        splits: Splits to find; None for all available.
        subset: Subset of the v0.0 layout: "all" (the default), "human_annot" or "machine_annot".
        annotations, images: Folders of annotations and images, if they are not in `root`.

    Raises:
        DataError: The folder, its annotations, a requested split, or a file of a split is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the root of the dataset")
    if images is not None and not Path(images).is_dir():
        raise DataError(f"the folder of the images, {images}, does not exist")
    base = Path(annotations) if annotations is not None else _annotation_folder(root)
    image_base = Path(images) if images is not None else _image_folder(root)
    folders = _split_folders(base, subset)
    wanted = list(splits) if splits else [split for split in SPLITS if split in folders]
    missing = [split for split in wanted if split not in folders]
    if missing or not wanted:
        raise DataError(
            f"{base}: no annotations of {', '.join(missing) or 'any split'}; looked for "
            f"{base}/{{train,val,test}}/InterHand2.6M_*_data.json (v1.0) and "
            f"{base}/{subset or 'all'}/InterHand2.6M_*_data.json (v0.0), found "
            f"{', '.join(folders) or 'none'}.{_without_subset(base, subset)}"
        )
    return [_files_of(split, folders[split], base, image_base, root) for split in wanted]


def _without_subset(base: Path, subset: str | None) -> str:
    """Describe the available files if a layout without subsets was asked for one."""
    others = _split_folders(base, None) if subset is not None else {}
    return f" Without the subset {subset!r} there are {', '.join(others)}." if others else ""


def _annotation_folder(root: Path) -> Path:
    for folder in (root / "annotations", *sorted(root.glob("InterHand2.6M_*/annotations"))):
        if folder.is_dir():
            return folder
    raise DataError(
        f"{root} has no folder 'annotations'; unpack InterHand2.6M's annotations there, or give "
        "their folder (annotations)."
    )


def _image_folder(root: Path) -> Path:
    batches = sorted(root.glob("InterHand2.6M_*fps_batch*/images"))
    if len(batches) > 1 and not (root / "images").is_dir():
        names = ", ".join(str(folder) for folder in batches)
        raise DataError(f"{root} holds several image folders ({names}); choose one (images)")
    return batches[0] if batches and not (root / "images").is_dir() else root / "images"


def _split_folders(base: Path, subset: str | None) -> dict[str, Path]:
    if subset is not None and subset not in SUBSETS:
        raise DataError(f"unknown subset {subset!r}; there are {', '.join(SUBSETS)}")
    found = {}
    for split in SPLITS:
        per_split = base / split if subset is None else base / subset
        for folder in (per_split, base / (subset or "all")):
            if (folder / f"InterHand2.6M_{split}_data.json").is_file():
                found.setdefault(split, folder)
    return found


def _files_of(
    split: str, folder: Path, base: Path, image_base: Path, root: Path
) -> AnnotationFiles:
    def required(kind: str) -> Path:
        path = folder / f"InterHand2.6M_{split}_{kind}.json"
        if not path.is_file():
            raise DataError(f"{path} is missing; it belongs to the annotations of {split}")
        return path

    mano = folder / f"InterHand2.6M_{split}_MANO_NeuralAnnot.json"
    output = f"rootnet_output/rootnet_interhand2.6m_output_{split}.json"
    detections = [place / output for place in (root, base, base.parent)]
    return AnnotationFiles(
        split,
        image_base / split,
        required("data"),
        required("camera"),
        required("joint_3d"),
        mano if mano.is_file() else None,
        next((path for path in detections if path.is_file()), None),
    )
