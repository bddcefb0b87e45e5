"""Gesture taxonomies: their files, their classes, and the controls that change labels."""

from gesture_pretrain.taxonomy.file import packaged_taxonomies
from gesture_pretrain.taxonomy.taxonomy import (
    CONTROLS,
    UNLABELLED,
    AssignmentReport,
    Taxonomy,
)

__all__ = ["CONTROLS", "UNLABELLED", "AssignmentReport", "Taxonomy", "packaged_taxonomies"]
