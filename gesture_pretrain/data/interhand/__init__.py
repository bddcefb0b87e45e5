"""InterHand2.6M, and any dataset in its layout, to an index."""

from gesture_pretrain.data.interhand.build import build_index_from_files, build_interhand_index
from gesture_pretrain.data.interhand.files import AnnotationFiles, find_annotation_files

__all__ = [
    "AnnotationFiles",
    "build_index_from_files",
    "build_interhand_index",
    "find_annotation_files",
]
