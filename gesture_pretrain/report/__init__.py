"""Reports: one self-contained HTML file with the numbers and the figures."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "Figure": "gesture_pretrain.report.page",
        "Page": "gesture_pretrain.report.page",
        "ScoreTable": "gesture_pretrain.report.score_table",
        "Table": "gesture_pretrain.report.page",
        "write_backbone_report": "gesture_pretrain.report.backbone_report",
        "write_mesh": "gesture_pretrain.report.mesh_file",
    },
)
