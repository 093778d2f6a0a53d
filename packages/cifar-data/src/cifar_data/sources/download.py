"""Downloads of CIFAR-10: from the Hugging Face Hub, else from its authors."""

import shutil
from pathlib import Path
from typing import Any

from cifar_data.dataset.arrays import DataError
from cifar_data.dataset.decode import ProgressBar
from cifar_data.dataset.fingerprint import TARBALL, TARBALL_MD5

HUB_REPOSITORY = "uoft-cs/cifar10"
HUB_FOLDER = "plain_text"
HUB_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
#: Source: https://www.cs.toronto.edu/~kriz/cifar.html
TARBALL_URL = f"https://www.cs.toronto.edu/~kriz/{TARBALL}"

_TARBALL_BYTES = 170_498_071
_STAGING = ".hub"  # hidden, so that half of the files are never found as the dataset


def fetch_dataset(target: Path, *, source: str = "auto", progress: bool = True) -> None:
    """Downloads CIFAR-10 into a folder: the Hub's Parquet files, or if that fails the authors' tarball.

    Files get their names when they are complete. The source `parquet` or `tarball` allows only one of them.
    """
    places = (
        ("parquet", f"Hugging Face Hub, {HUB_REPOSITORY}", fetch_parquet),
        ("tarball", TARBALL_URL, fetch_tarball),
    )
    reasons = []
    for _, place, fetch in (choice for choice in places if source in ("auto", choice[0])):
        try:
            fetch(target, progress=progress)
        except Exception as error:  # noqa: BLE001 - of two libraries and the HTTP clients beneath them
            reasons.append(f"{place}: {_reason(error)}")
        else:
            return shutil.rmtree(target / _STAGING, ignore_errors=True)
    raise DataError("; ".join(reasons))


def fetch_parquet(target: Path, *, progress: bool = True) -> None:
    """Downloads the Parquet files of `uoft-cs/cifar10` into the subfolder `plain_text`.

    A broken connection is resumed. If the download fails, the next attempt keeps the files that were complete.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url  # takes half a second

    def make_bar(*, desc: str = "", total: int | None = None, initial: int = 0, **_: Any) -> ProgressBar:
        return _bytes_bar(desc, progress, total=total, initial=initial)

    staging = target / _STAGING
    # Fails at once without a network, where hf_hub_download would try again for half a minute.
    get_hf_file_metadata(hf_hub_url(HUB_REPOSITORY, HUB_FILES[0], subfolder=HUB_FOLDER, repo_type="dataset"))
    options: dict[str, Any] = {"local_dir": staging, "tqdm_class": make_bar}
    for name in HUB_FILES:
        hf_hub_download(HUB_REPOSITORY, name, subfolder=HUB_FOLDER, repo_type="dataset", **options)
    (staging / HUB_FOLDER).rename(target / HUB_FOLDER)


def fetch_tarball(target: Path, *, progress: bool = True) -> None:
    """Downloads the authors' tarball into a folder, and checks its MD5."""
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel("WARNING")  # it would announce the download in the middle of the bar
    with _bytes_bar(TARBALL, progress, total=_TARBALL_BYTES) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar)
        pooch.retrieve(TARBALL_URL, f"md5:{TARBALL_MD5}", fname=TARBALL, path=target, downloader=downloader)


def _bytes_bar(name: str, enabled: bool, **options: Any) -> ProgressBar:
    text = f"Downloading {Path(name).name}"
    return ProgressBar(enabled=enabled, desc=text, unit="B", unit_scale=True, **options)


def _reason(error: BaseException) -> str:
    """Returns the first cause of an error in one line."""
    while below := error.__cause__ or error.__context__:
        error = below
    return " ".join(str(error).split()) or type(error).__name__
