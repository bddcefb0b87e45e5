"""What frozen features are worth: k-NN and linear probes to gesture and to 3D joints.

A probe to the very labels a network was trained with is circular; the probes to root-relative
joints are not, since no joint was seen in pretraining. Functions take arrays and return
predictions; `classification.py` and `mpjpe_mm` score them. All of it is deterministic.

Letters: N gallery (train) samples, M query samples, C channels, K classes, J = 21 joints.
"""
