"""The package as a whole: what it offers, and that importing it stays light."""

import subprocess
import sys

import cifar_explain


def test_every_public_name_exists_and_is_described():
    assert sorted(cifar_explain.__all__) == sorted(set(cifar_explain.__all__))
    for name in cifar_explain.__all__:
        value = getattr(cifar_explain, name)
        assert value.__doc__ or not callable(value), name


def test_importing_loads_no_heavy_library():
    code = (
        "import sys, cifar_explain; "
        "print([name for name in ('pytorch_grad_cam', 'torchvision', 'cv2', 'sklearn', 'matplotlib', "
        "'cifar_models', 'cifar_data') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
