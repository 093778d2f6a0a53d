"""The package as a whole: public names, and a light import without global state."""

import subprocess
import sys

import cifar_explain


def test_every_public_name_exists_and_is_described():
    assert len(cifar_explain.__all__) == len(set(cifar_explain.__all__))
    for name in cifar_explain.__all__:
        value = getattr(cifar_explain, name)
        assert value.__doc__ or not callable(value), name


CODE = """
import sys
from cifar_explain import *
heavy = {"pytorch_grad_cam", "torchvision", "cv2", "sklearn", "matplotlib", "cifar_models", "cifar_data"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)

import matplotlib, numpy as np
# Asking for the backend by `[]` would import pyplot.
before, maps = dict(dict.items(matplotlib.rcParams)), list(matplotlib.colormaps)
curve = reliability_curve([[0.9, 0.1], [0.6, 0.4]], [0, 1])
rows = [Faithfulness(m, "conv", (4, 4), np.ones(3)) for m in (RANDOM, "gradcam")]
matrix = np.array([[3, 1], [0, 2]])
photos = np.zeros((1, 8, 8, 3), np.uint8)
for figure in (plot_confusion(matrix), plot_classes(class_reports(matrix)), plot_reliability(curve),
               plot_faithfulness(rows), plot_errors(find_errors([[0.9, 0.1]], [1]), photos)):
    figure.savefig("/dev/null", format="png")
assert dict(dict.items(matplotlib.rcParams)) == before
assert list(matplotlib.colormaps) == maps
assert "matplotlib.pyplot" not in sys.modules
"""


def test_importing_loads_no_heavy_library_and_drawing_changes_no_global_setting():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
