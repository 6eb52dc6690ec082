"""Frames to an mp4 file that browsers and phones play, through the ffmpeg that ``imageio-ffmpeg`` brings."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from puffer_phc.errors import InputError

_REMEDY = "check the folder, the free space and the ffmpeg that imageio-ffmpeg finds"


class VideoWriter:
    """An mp4 file (H.264, yuv420p, playable while it loads) that is written frame by frame.

    The file appears under its name only when it is complete: an exception inside the ``with`` block, or a fault of
    ffmpeg, leaves nothing behind and an older file of that name untouched.

    Args:
        path: the file to write; its folder must exist.
        fps: frames per second.
        quality: x264's constant rate factor, 0 (lossless) to 51; 18 is visually lossless, 23 x264's own default.
        preset: x264's speed against size, ``ultrafast`` to ``veryslow``.

    Raises:
        InputError: the folder is missing, ``fps`` is not positive or there is no ffmpeg.
    """

    def __init__(self, path: str | Path, fps: float = 30.0, quality: int = 20, preset: str = "veryfast") -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise InputError(self.path, "its folder does not exist", "create the folder first")
        if self.path.is_dir():
            raise InputError(self.path, "is a folder", "name a file ending in .mp4")
        if not fps > 0:
            raise InputError("fps", f"{fps} is not a frame rate", "give a positive number")
        self.frames = 0
        self._fps, self._quality, self._preset = fps, quality, preset
        self._ffmpeg = _find_ffmpeg()
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._shape: tuple[int, ...] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append one RGB picture ``(H, W, 3)`` uint8; the first decides the size (odd sizes get a black edge).

        Raises:
            ValueError: the picture has another shape or type than the first.
            InputError: ffmpeg failed; its own last words are in the message.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f"a frame must be (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
        if self._shape is None:
            self._shape = frame.shape
            self._process = self._start(height=frame.shape[0], width=frame.shape[1])
        if frame.shape != self._shape:
            raise ValueError(f"a frame of {frame.shape} in a video of {self._shape}")
        if self._process is None or self._process.stdin is None:
            raise ValueError(f"{self.path}: the video is closed")
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except OSError as error:  # a broken pipe: ffmpeg is gone and has said why
            raise self._failure() from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file and move it into place; a second call does nothing.

        Raises:
            InputError: no frame was written, or ffmpeg failed.
        """
        if self._shape is None:
            raise InputError(self.path, "the video has no frame", "write at least one")
        if self._process is None:
            return
        try:
            self._process.communicate()  # closes ffmpeg's input, which ends the file
        except OSError as error:
            raise self._failure() from error
        if self._process.returncode != 0:
            raise self._failure()
        try:
            os.replace(self._temporary, self.path)
        except OSError as error:
            raise InputError(self.path, f"cannot be put in place ({error.strerror})", _REMEDY) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Stop ffmpeg and remove the unfinished file; does nothing once the video is closed."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):  # unflushed frames of a broken pipe, thrown away anyway
                    process.stdin.close()
        if self._log is not None:
            self._log.close()
            self._log = None
        self._temporary.unlink(missing_ok=True)

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        # A file, not a pipe: nobody reads ffmpeg's messages while frames are written, and a full pipe would hang both.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process that writes it
        command = [self._ffmpeg, "-y", "-nostdin", "-loglevel", "error"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self._fps:g}", "-i", "-"]
        # yuv420p, the only layout every player knows, halves the colour planes and so needs even sizes.
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        command += ["-preset", self._preset, "-crf", str(self._quality)]
        command += ["-movflags", "+faststart", "-f", "mp4", str(self._temporary)]
        try:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log)
        except OSError as error:
            self.abort()
            raise InputError(self._ffmpeg, f"cannot be started ({error.strerror})", _REMEDY) from error

    def _failure(self) -> InputError:
        """What ffmpeg said, as one line; cleans up."""
        words = ""
        if self._process is not None:
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._log is not None:
            self._log.seek(0)
            words = " ".join(
                self._log.read().decode(errors="replace").split("\n")[:2]
            )  # the cause; consequences follow
        self.abort()
        return InputError(self.path, f"ffmpeg failed ({words.strip() or 'without a message'})", _REMEDY)


def _find_ffmpeg() -> str:
    try:
        import imageio_ffmpeg  # late: only videos need it

        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        remedy = "install it (apt-get install ffmpeg) or set IMAGEIO_FFMPEG_EXE"
        raise InputError("ffmpeg", "no executable is found", remedy) from error
