#!/usr/bin/env bash
# Makes the virtual environment: "demo" installs what "make demo" requires, "all" (the default)
# everything. mmpose 1.3.2 cannot be installed by its name alone
# (it requires chumpy and an old mmcv), so it and its two companions come without dependencies.
# mmpose is optional: if it cannot be installed, one line says so and everything else works.
set -euo pipefail
part=${1:-all}
python=${PYTHON:-python3}
venv=${VENV:-.venv}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python >= 3.10 is required, $("$python" --version) was found. Name another: make env PYTHON=python3.11" >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet)
log=$venv/mmpose.log

install_mmpose() {
    "${pip[@]}" munkres json_tricks six &&
        install_coco_tools &&
        "${pip[@]}" --no-deps mmpose==1.3.2 mmcv-lite==2.1.0 mmdet==3.2.0
}

# The setup.py of xtcocotools fails on Python 3.13 and later. There adapters/export/to_mmpose.py
# uses pycocotools under its name.
install_coco_tools() {
    "${pip[@]}" --no-build-isolation --no-binary xtcocotools xtcocotools || {
        "${pip[@]}" pycocotools &&
            echo "xtcocotools does not build on $("$python" --version): mmpose trains with" \
                "pycocotools instead, but its COCO metrics need Python 3.12 or earlier."
    }
} 2>>"$log"

ready() {
    # On a machine without the OpenGL library the ordinary OpenCV wheel cannot be imported.
    "$venv/bin/python" -c 'import cv2' 2>/dev/null ||
        "${pip[@]}" --force-reinstall --no-deps opencv-python-headless
    "$venv/bin/python" -c 'import cv2, timm, torch; print("ready: torch", torch.__version__)'
}

echo "1/3 build tools"
# torch requires 77 and mmpose requires pkg_resources, which 80 no longer has. An older version that
# is already there would be replaced by the newest.
"${pip[@]}" "setuptools>=77.0.3,<80" wheel cython "numpy>=1.26"
if [ "$part" = demo ]; then
    echo "2/3 gesture-pretrain with what the demo requires (torch is the large one)"
    "${pip[@]}" --no-build-isolation -e ".[train,mano,render,report]"
    ready
    exit
fi
echo "2/3 gesture-pretrain with its dependencies (torch is the large one)"
"${pip[@]}" --no-build-isolation -e ".[all,test,lint]"
echo "3/3 mmpose"
install_mmpose 2>>"$log" ||
    echo "mmpose could not be installed (see $log). Only the mmpose adapter needs it; use" \
        "Python 3.10 to 3.12 to get it."
ready
