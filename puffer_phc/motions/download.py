"""Fetches files over HTTP so that what has the final name is whole: resumed, retried, checked, several at a time."""

from __future__ import annotations

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from puffer_phc.errors import InputError

Check = Callable[[Path], str]
"""Tells what is wrong with the content of a downloaded file; an empty text if nothing is."""

MAX_BYTES = 256 << 20
"""Larger files are refused: no motion is so large, and a server could send without end."""

_BLOCK = 1 << 16
_AGENT = "puffer-phc"
_HOPELESS = (400, 401, 403, 404, 405, 410, 451)  # asking again would not help
_LONGEST_PAUSE = 30.0  # s


@dataclass(frozen=True)
class Fetch:
    """One file to fetch: from where, to where, and how to tell that it is right."""

    url: str
    path: Path
    check: Check


@dataclass(frozen=True)
class Fetched:
    """What became of it: ``fault`` is empty if the file is there, ``old`` tells that it was there before."""

    fetch: Fetch
    fault: str = ""
    old: bool = False


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: requests per file.
        pause: s before the second request; doubled for each further one.
        timeout: s without an answer or data after which a request has failed.
    """

    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0


class _Fault(Exception):
    """A request failed; ``hopeless`` if another one would as well."""

    def __init__(self, text: str, hopeless: bool = False) -> None:
        self.hopeless = hopeless
        super().__init__(text)


def fetch_all(
    fetches: Sequence[Fetch],
    parallel: int = 4,
    patience: Patience | None = None,
    progress: Callable[[Fetched], None] | None = None,
) -> list[Fetched]:
    """Fetch files, some at a time; one that fails does not stop the others.

    A file that is there and passes its check is left alone. An unfinished one is kept as ``NAME.part`` and continued
    by the next call.

    Args:
        fetches: what to fetch, each to another path.
        parallel: connections at a time.
        patience: how long to try.
        progress: called after each file, in the order of ``fetches``.

    Returns:
        What became of each, in the same order.
    """
    patience = patience or Patience()
    stop = threading.Event()
    pool = ThreadPoolExecutor(max(parallel, 1))
    results = []
    try:
        for result in pool.map(lambda fetch: _fetch(fetch, patience, stop), fetches):
            results.append(result)
            if progress:
                progress(result)
    finally:
        stop.set()  # an interrupt ends the transfers under way at their next block
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def get_text(url: str, patience: Patience | None = None, limit: int = 4 << 20) -> str | None:
    """A page's text, or None if it cannot be had; one attempt, no more than ``limit`` bytes."""
    try:
        with _open(url, {}, (patience or Patience()).timeout) as response:
            return str(response.read(limit).decode("utf-8", errors="replace"))
    except (_Fault, OSError, http.client.HTTPException):
        return None


def check_url(option: str, url: str) -> str:
    """``url`` without a closing slash.

    Raises:
        InputError: it is not one of a web server.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(option, f"{url[:100]!r} is no web address", "give one that begins with http:// or https://")
    return url.rstrip("/")


def _fetch(fetch: Fetch, patience: Patience, stop: threading.Event) -> Fetched:
    fault = ""
    try:
        if fetch.path.is_file() and not fetch.check(fetch.path):
            return Fetched(fetch, old=True)
        fetch.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(patience.attempts):
            if attempt and stop.wait(min(patience.pause * 2 ** (attempt - 1), _LONGEST_PAUSE)):
                break
            try:
                _attempt(fetch, patience.timeout, stop)
                return Fetched(fetch)
            except _Fault as error:
                fault = str(error)
                if error.hopeless:
                    break
    except OSError as error:
        fault = f"cannot be written ({error.strerror or error})"
    return Fetched(fetch, fault or "interrupted")


def _attempt(fetch: Fetch, timeout: float, stop: threading.Event) -> None:
    """One request; continues ``NAME.part`` if the server can, and gives it its name if it is right.

    Raises:
        _Fault: the file is not complete or not right; what is of use stays in ``NAME.part``.
    """
    part = fetch.path.with_name(fetch.path.name + ".part")
    tag = part.with_name(part.name + ".tag")  # the server's mark of the version that was begun
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and tag.is_file() and tag.stat().st_size:
        headers["If-Range"] = tag.read_text(encoding="latin-1").strip()  # a changed file comes from its beginning
    with _open(fetch.url, headers, timeout) as response:
        continued = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not continued:
            part.unlink(missing_ok=True)
            raise _Fault("the server continued at another place")
        have = have if continued else 0
        length = response.headers.get("Content-Length", "")
        expected = have + int(length) if length.isdecimal() else None
        if have + (int(length) if length.isdecimal() else 0) > MAX_BYTES:
            raise _Fault(f"larger than {MAX_BYTES >> 20} MiB", hopeless=True)
        mark = response.headers.get("ETag", "")
        tag.write_text(mark if mark.startswith('"') else response.headers.get("Last-Modified", ""), encoding="latin-1")
        with part.open("ab" if continued else "wb") as file:
            have = _copy(response, file.write, have, stop)
    if expected is not None and have != expected:
        raise _Fault(f"{have} of {expected} bytes came")
    tag.unlink(missing_ok=True)
    fault = fetch.check(part)
    if fault:
        part.unlink()  # a continued file may be a mixture of two: start afresh
        raise _Fault(fault)
    os.replace(part, fetch.path)


def _copy(
    response: http.client.HTTPResponse, write: Callable[[bytes], object], have: int, stop: threading.Event
) -> int:
    """Pass on the response's content; returns the size of the file then."""
    while not stop.is_set():
        try:
            block = response.read(_BLOCK)
        except http.client.IncompleteRead as error:
            write(error.partial)
            raise _Fault("the connection broke off") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Fault(f"the connection broke off ({error or type(error).__name__})") from error
        if not block:
            return have
        have += len(block)
        if have > MAX_BYTES:
            raise _Fault(f"larger than {MAX_BYTES >> 20} MiB", hopeless=True)
        write(block)
    raise _Fault("interrupted", hopeless=True)


def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    """The open answer to a request.

    Raises:
        _Fault: the server refuses or does not answer.
    """
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT, **headers})
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and headers:  # the part is longer than the file
            return _open(url, {}, timeout)
        _wait_as_asked(error)
        raise _Fault(f"the server answers {error.code} {error.reason}", error.code in _HOPELESS) from error
    except urllib.error.URLError as error:
        raise _Fault(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Fault(f"no connection ({error or type(error).__name__})") from error


def _wait_as_asked(error: urllib.error.HTTPError) -> None:
    """Give an overloaded server the seconds it asks for, within reason."""
    seconds = (error.headers.get("Retry-After") or "") if error.code in (429, 503) else ""
    if seconds.isdecimal():
        time.sleep(min(int(seconds), _LONGEST_PAUSE))
