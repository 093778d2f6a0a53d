"""Runs reported faults and prints a table: `uv run python tests/cases.py [NUMBER ...]`.

Each folder of `../shared/cases`, beside the clone, has a script that reproduces a fault. Here stands what it has to
print now. Those in `SLOW` train or serve, all of them about ten minutes; the tests run the others.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "cases"
SLOW = {*map("{:02}".format, [*range(1, 9), *range(16, 21), 25, 26, 27])}
#: By number: what the output has, in this order.
EXPECTED = {
    # The new rate is trained with; another optimizer is rejected, and changes nothing.
    "01": [r"\(4, 0.00032\).*\(7, 0.0\)", "yaml 0.00085", "optimizer is .SGD. instead.*exit 2",
           "validation loss.*exit 0"],
    "02": ["batch_size is 25 instead of 50.*exit 2", "accumulate_grad_batches is 4 instead of 2.*exit 2",
           "split_seed is 1 instead of 0.*exit 2"],
    "03": ["exit 0.*model.safetensors", "report.*exit 0", "of the last checkpoint.*exit 0", "model.safetensors"],
    "04": ["weights +runs/.*exit 0"],
    "05": ["exit 0", "test loss.*exit 0", "validation loss.*exit 0", "validation loss.*exit 0"],
    "06": ["weights +runs/.*exit 0", "the weights have the classes.*exit 2"],
    "07": [r"exit 0\n(?P<sum>\w{32})", "has a run already.*exit 2\n(?P=sum)", "'0', '1', '2', '3'"],
    # Where `latest` cannot be this run, the next command names the run itself.
    "08": ["report runs/fast-.*exit 0", "report runs/latest.*exit 0", "report copied/fast-.*exit 0"],
    "09": ["6 training, 6 test.*exit 0", "left out +1 file not read: train/stray.png.*exit 0"],
    "10": ["10 training, 4 test.*exit 0"],
    "11": ["nfc.*intact.*exit 0", "'cat '.*exit 2", "'Cat'.*exit 2"],
    "12": ["intact.*exit 0", "intact.*exit 0", "classes +0, 1, 2, 3.*exit 0"],
    "13": ["incomplete or mixed.*exit 2", "incomplete or mixed.*exit 2"],
    "14": ["exit 0.*exit 0\nread\nread"],
    "15": ["CIFAR_CACHE_DIR.*exit 2"] * 2 + ["Give the full path.*exit 2"],
    "16": ["to see it in the app.*exit 0\n1\n", "at http.*exit 124", "intact.*exit 0", "files.*exit 0"],
    "17": ["at http.*exit 124"] * 2,
    "18": [r"at http://\[::1\].*exit 124", r"at http://\[::\].*exit 124"],
    # Its exit code tells whether all images load; its last lines may be the server's complaints.
    "19": ["exit 0"],
    "20": ["at http.*exit 124|GRADIO_TEMP_DIR"],
    "22": [r"eigencam +96 pixels: +[\d.]+ s, +\d\d? MiB more"],
    "23": ["ok.*exit 0"],
    "24": ["saved\nsaved\nsaved"],
    "25": ["exit 0.*summary.json.*model.safetensors"] * 2 + ["model.safetensors"],
    "26": ["exit 0", "training +0:0[34],.*exit 0"],
    "27": ["exit 0.*home/runs/.*/model.safetensors", "no file .*/home/w.safetensors.*exit 2"],
    "28": [r"equal True\s*\Z"],
}  # fmt: skip
#: Nowhere in an output, except where a visitor's browser hangs up while the server writes (19).
UNWANTED = re.compile(r"TRACEBACK|Traceback|FAIL")


def run(number):
    """Returns a case's output, and what is wrong with it or an empty text."""
    (script,) = FOLDER.glob(f"{number}-*/repro.sh")
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"BIN": str(Path(sys.executable).parent), "PYTHONUNBUFFERED": "1"}
    environment["WEIGHTS"] = str(root / "weights" / "fast.safetensors")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(["bash", script], cwd=root, env=environment, check=False, **streams)
    output = done.stdout.decode(errors="replace")
    if number != "19" and (found := UNWANTED.search(output)):
        return output, f"has {found[0]!r}"
    if not re.search(".*".join(EXPECTED[number]), output, re.DOTALL):
        return output, f"lacks {' ... '.join(EXPECTED[number])!r}"
    return output, ""


if __name__ == "__main__":
    failed = False
    print(f"{'case':<32} {'seconds':>7}  outcome")
    for script in sorted(FOLDER.glob("*/repro.sh")):
        name = script.parent.name
        if sys.argv[1:] and name[:2] not in sys.argv[1:]:
            continue
        begun = time.monotonic()
        output, wrong = run(name[:2])
        print(f"{name:<32} {time.monotonic() - begun:>7.0f}  {wrong or 'as wanted'}", flush=True)
        if wrong:
            failed = True
            print(output)
    sys.exit(failed)
