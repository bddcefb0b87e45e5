"""Arms and comparisons of the plans that ask what gestures add to ImageNet weights."""

arms = dict(
    imagenet=dict(init="imagenet", text="ImageNet weights"),
    imagenet_gesture=dict(
        init="imagenet", pretrain=dict(), text="ImageNet, then coarse and fine gestures"
    ),
    imagenet_shuffled=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="cluster_shuffled")),
        text="ImageNet, then gestures exchanged among the sequences of all subjects",
    ),
    random=dict(init="random", text="no pretraining"),
    gesture=dict(pretrain=dict(), text="coarse and fine gestures, from random weights"),
)
comparisons = [
    dict(arm="imagenet_gesture", reference="imagenet", text="Gestures on top of ImageNet."),
    dict(
        arm="imagenet_gesture",
        reference="imagenet_shuffled",
        text="What the gestures add to labels that mean nothing across subjects.",
    ),
    dict(arm="gesture", reference="random", text="Pretraining as a whole, from random weights."),
]
