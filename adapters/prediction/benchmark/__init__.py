"""Measurements of pose networks on images and videos of hands, next to MediaPipe Hands."""
