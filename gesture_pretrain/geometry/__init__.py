"""Cameras, boxes, crops, rotations and similarity alignment, in numpy.

Frames: *world* is the frame of the calibration, in millimetres. *cam* has x right, y down, z away
from the viewer. *px* are pixels of the stored image, with the origin that the annotations use; a
crop maps the left edge of its box to 0 and the right edge to its size, hence the centre of the box
to size / 2. Nothing is shifted by half a pixel anywhere.

Everything is computed and returned in float64, whatever float comes in.
"""
