"""Optional dependencies: which extra of the package installs a missing module."""

EXTRA_OF = {
    "mmengine": "train",
    "cv2": "train",
    "scipy": "train",
    "tensorboard": "train",
    "tqdm": "train",
    "PIL": "train",
    "smplx": "mano",
    "embreex": "render",
    "threadpoolctl": "render",
    "sklearn": "report",
    "matplotlib": "report",
    "pandas": "report",
    "jinja2": "report",
    "ai_edge_litert": "detect",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "huggingface_hub": "hub",
    "submitit": "cluster",
}


def missing_extra(error: ModuleNotFoundError) -> ModuleNotFoundError | None:
    """Name the extra that installs the missing module; None if no extra does."""
    name = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(name)
    if extra is None:
        return None
    return ModuleNotFoundError(
        f"The package {name} is not installed. Install it with "
        f'`pip install "gesture-pretrain[{extra}]"`.',
        name=name,
    )
