"""Fetching CIFAR-10: from the Hugging Face Hub, else from its authors; checked before it gets its name."""

import contextlib
import hashlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from cifar_data.dataset.errors import DataError
from cifar_data.dataset.progress import progress_bar
from cifar_data.sources.batches import TARBALL, TARBALL_MD5

HUB_REPOSITORY = "uoft-cs/cifar10"
HUB_FOLDER = "plain_text"
HUB_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
#: Source: https://www.cs.toronto.edu/~kriz/cifar.html
TARBALL_URL = f"https://www.cs.toronto.edu/~kriz/{TARBALL}"

# Where the Hub's files wait until both are there.
_STAGING = f".{HUB_FOLDER}.part"

_ATTEMPTS = 4
_TIMEOUT_S = 30
_CHUNK = 1 << 20


class _InterruptedError(Exception):
    """The transfer broke off; another attempt can go on from there."""


def fetch_dataset(
    target: Path,
    *,
    source: str = "auto",
    progress: bool = True,
    hub_endpoint: str | None = None,
    tarball_url: str = TARBALL_URL,
) -> None:
    """Download CIFAR-10 into a folder: the Hub's Parquet files, or if that fails the authors' tarball.

    Args:
        target: The folder, made if needed.
        source: `parquet` or `tarball` to allow only one of them, or `auto`.
        progress: Whether to show a bar on stderr.
        hub_endpoint: Another address of the Hub; without it `HF_ENDPOINT`, else huggingface.co.
        tarball_url: Another address of the tarball.

    Raises:
        DataError: With a line for each place that was tried, and why it failed.
        OSError: If the folder cannot be written.
    """
    reasons = []
    if source in ("auto", "parquet"):
        try:
            return fetch_hub_files(target, endpoint=hub_endpoint, progress=progress)
        except DataError as error:
            reasons.append(f"Hugging Face Hub, {HUB_REPOSITORY}: {error}")
    if source in ("auto", "tarball"):
        try:
            fetch_file(
                tarball_url, target / TARBALL, algorithm="md5", checksum=TARBALL_MD5, progress=progress
            )
        except DataError as error:
            reasons.append(str(error))
        else:
            shutil.rmtree(target / _STAGING, ignore_errors=True)
            return None
    raise DataError("\n".join(reasons))


def fetch_hub_files(target: Path, *, endpoint: str | None = None, progress: bool = True) -> None:
    """Download the Parquet files of `uoft-cs/cifar10` into `plain_text` in a folder, both or none.

    Until both are there, what has arrived waits in a hidden folder beside it for the next attempt.

    Raises:
        DataError: If the Hub cannot be reached, or a file's SHA-256 is not the one that the Hub states.
        OSError: If the folder cannot be written.
    """
    staging = target / _STAGING
    staging.mkdir(parents=True, exist_ok=True)
    try:
        for name in HUB_FILES:
            url, checksum = _locate_hub_file(f"{HUB_FOLDER}/{name}", endpoint)
            staged = staging / name
            if not (staged.exists() and _digest(staged, "sha256") == checksum):
                fetch_file(url, staged, algorithm="sha256", checksum=checksum, progress=progress)
        staging.rename(target / HUB_FOLDER)
    finally:
        # Removed if nothing has arrived, and only then.
        with contextlib.suppress(OSError):
            staging.rmdir()


def fetch_file(
    url: str, target: Path, *, algorithm: str, checksum: str, progress: bool = True, pause_s: float = 1.0
) -> None:
    """Download a file that appears under its name only when it is complete and its checksum is right.

    A broken transfer is resumed where it broke off, also that of an earlier process that failed or was stopped: what
    has arrived stays beside the target, hidden, until it is complete or turns out wrong. If all of it had arrived,
    nothing is asked of the server.

    Args:
        url: http or https.
        target: The file to write.
        algorithm: `sha256` or `md5`.
        checksum: What the file must hash to, in hex.
        progress: Whether to show a bar on stderr.
        pause_s: Seconds to wait before the second attempt; each further wait is twice as long.

    Raises:
        DataError: If the transfer fails, or the checksum differs; then what has arrived is removed.
        OSError: If the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    # An earlier process may have been stopped between the last byte and the new name. A server has no byte after the
    # last to go on from: it would answer 416, as it does where the file has changed.
    if part.exists() and _digest(part, algorithm) == checksum:
        part.replace(target)
        return
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            resumed = _transfer(url, part, progress=progress)
        except _InterruptedError as error:
            reason = str(error)
            continue
        found = _digest(part, algorithm)
        if found == checksum:
            part.replace(target)
            return
        part.unlink()
        reason = f"expected {algorithm} {checksum}, found {found}"
        if not resumed:  # resumed ones may have been spliced from two versions: those start anew
            break
    raise DataError(f"{url}: {reason}")


def _locate_hub_file(name: str, endpoint: str | None) -> tuple[str, str]:
    """Return the address of a file, pinned to the present commit, and its SHA-256."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(HUB_REPOSITORY, name, repo_type="dataset", endpoint=endpoint)
    try:
        metadata = get_hf_file_metadata(url, timeout=_TIMEOUT_S)
    except Exception as error:
        # The HTTP library beneath has exceptions of its own, and has been exchanged before.
        raise DataError(f"{url}: {str(error).strip() or type(error).__name__}") from error
    if metadata.etag is None or not re.fullmatch("[0-9a-f]{64}", metadata.etag):
        raise DataError(f"{url}: the Hub states no SHA-256 for it, but the etag {metadata.etag!r}")
    pinned = hf_hub_url(
        HUB_REPOSITORY, name, repo_type="dataset", revision=metadata.commit_hash, endpoint=endpoint
    )
    return pinned, metadata.etag


def _transfer(url: str, part: Path, *, progress: bool) -> bool:
    """Bring a partial file to full length; return whether it went on from earlier bytes."""
    start = part.stat().st_size if part.exists() else 0
    request = _request(url, start)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - checked in _request
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            part.unlink()  # at least as long as the file is now, and not the same
            raise _InterruptedError("the file on the server has changed") from error
        raise DataError(f"{url}: HTTP status {error.code} ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: {getattr(error, 'reason', error)}") from error
    with response:
        partial = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        resumed = start > 0 and response.status == http.HTTPStatus.PARTIAL_CONTENT and partial
        if not resumed:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            part.open("ab" if resumed else "wb") as file,
            progress_bar(
                total,
                unit="B",
                description=f"Downloading {Path(url).name}",
                enabled=progress,
                unit_scale=True,
                initial=start,
            ) as bar,
        ):
            while chunk := _read(response):
                file.write(chunk)
                bar.update(len(chunk))
            received = file.tell()
    if total is not None and received < total:
        raise _InterruptedError(f"the connection ended after {received:,} of {total:,} bytes")
    return resumed


def _request(url: str, start: int) -> urllib.request.Request:
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url}: only http and https addresses are allowed")
    headers = {"User-Agent": "cifar-data"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked above


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(f"the connection broke: {error}") from error


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
