"""Cameras, boxes, crops, rotations and similarity alignment, in numpy.

Frames: *world* is the frame of the calibration, in millimetres. *cam* has x right, y down, z away
from the viewer. *px* are pixels of the stored image, with the origin of the annotations. A crop
maps the left edge of its box to 0 and the right edge to its size, hence the centre of the box to
size / 2. There are no half-pixel shifts.

All computations and results use float64.
"""
