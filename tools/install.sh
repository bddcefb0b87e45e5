#!/usr/bin/env bash
# Makes the virtual environment of "make env". mmpose 1.3.2 cannot be installed by its name alone
# (it asks for chumpy and an old mmcv), so it and its two companions come without dependencies.
set -euo pipefail
python=${PYTHON:-python3}
venv=${VENV:-.venv}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python >= 3.10 is needed, $("$python" --version) was found. Name another: make env PYTHON=python3.11" >&2
    exit 1
}
"$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet)

echo "1/3 build tools"
# torch asks for 77 and mmpose for pkg_resources, which 80 no longer has: an older one that is already
# there would be replaced by the newest
"${pip[@]}" "setuptools>=77.0.3,<80" wheel cython "numpy>=1.26"
echo "2/3 gesture-pretrain with its dependencies (torch is the large one)"
"${pip[@]}" --no-build-isolation -e ".[all,test,lint]"
echo "3/3 mmpose"
"${pip[@]}" munkres json_tricks six
"${pip[@]}" --no-build-isolation --no-binary xtcocotools xtcocotools
"${pip[@]}" --no-deps mmpose==1.3.2 mmcv-lite==2.1.0 mmdet==3.2.0

# On a machine without the OpenGL library the ordinary OpenCV wheel cannot be imported.
"$venv/bin/python" -c 'import cv2' 2>/dev/null ||
    "${pip[@]}" --force-reinstall --no-deps opencv-python-headless
"$venv/bin/python" -c 'import cv2, mmpose, timm, torch; print("ready: torch", torch.__version__)'
