"""Whether a decode can be believed, judged by what came out and never by the exit code alone."""

import re
import signal
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from formats.sandbox import Completed
from formats.tables import Reason

_CLAIM = re.compile(
    r"^\[info\]\s+Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?), start: (-?\d+\.\d+)", re.MULTILINE
)
_MATROSKA = re.compile(r"^\[info\] Input #0, matroska,", re.MULTILINE)
_SIZE = re.compile(r"^\[info\]\s+Stream #\d+:\d+: Video: wrapped_avframe.*?, (\d+)x(\d+)", re.M)
_TROUBLE = re.compile(
    r"^(?:(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\]|x264 \[error\]:) (.*)$", re.M
)
_VIDEO = re.compile(r"^\[info\]\s+Stream #0:\d+.*?: Video: (?!.*\(attached pic\))", re.MULTILINE)
_TOO_MANY_PIXELS = re.compile(r"exceeds specified max pixel count|Picture size \d+x\d+ is invalid")
_NO_MEMORY = re.compile(
    r"(Cannot|Could not|[Ff]ailed to) allocate|get_buffer\(\) failed|malloc of size \d+ failed"
    r"|pthread_create\(\) failed|Resource temporarily unavailable"  # No room for a thread's stack.
)
_CUT_OFF = re.compile(
    r"exceeds max_streams|moov atom not found|End of file|ended prematurely|Truncat|partial file",
    re.IGNORECASE,
)

_BELIEVABLE_CLAIM_S = 24 * 3600.0
_WHOLE = 0.95
_SLACK_S = 0.1
_DETAIL_CHARACTERS = 200


class DecodeError(Exception):
    """A video is not accepted; the reason is one of the closed list."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = " ".join(detail.split())[:_DETAIL_CHARACTERS]
        super().__init__(reason, self.detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Decoded:
    """What one run decoded."""

    frames: int
    start_s: float
    """When the first frame is shown, counted from the container's start."""
    end_s: float
    """When the last frame stops being shown; its length is that of the mean frame."""
    claim_s: float | None
    """What the container says its length is; None if it says nothing or nonsense."""
    width: int
    height: int


def read_decoded(completed: Completed, frame_times: Path) -> Decoded:
    """Facts of a run: from its table of frame times and its log."""
    times = _times(frame_times)
    sizes = _SIZE.findall(completed.stderr)
    width, height = map(int, sizes[-1]) if sizes else (0, 0)
    first, last = (min(times), max(times)) if times else (0.0, 0.0)
    step = (last - first) / (len(times) - 1) if len(times) > 1 else 0.0
    return Decoded(len(times), first, last + step, _claim(completed.stderr), width, height)


def check_run(completed: Completed, decoded: Decoded, *, min_frames: int) -> None:
    """Return if the run decoded a whole, undamaged video.

    Raises:
        DecodeError: `decoder_timeout`, `decoder_memory`, `decoder_crashed`, `too_many_pixels`,
            `too_long` (more output than fits), `not_video`, `damaged` or `too_few_frames`.
    """
    _check_end(completed)
    trouble = _TROUBLE.findall(completed.stderr)
    _check_trouble(trouble, decoded, completed)
    if completed.returncode:
        raise DecodeError(Reason.DECODER_CRASHED, f"exit code {completed.returncode}")
    if decoded.frames < min_frames:
        raise DecodeError(Reason.TOO_FEW_FRAMES, f"{decoded.frames} frames decoded")


def check_whole(decoded: Decoded) -> None:
    """Return if the decoded frames reach the end that the container claims.

    Raises:
        DecodeError: `damaged`, when more than 5 % is missing: a cut file decodes without a word.
    """
    claim_s = decoded.claim_s
    if claim_s is not None and decoded.end_s < _WHOLE * claim_s - _SLACK_S:
        said = f"{decoded.end_s:.2f} s decoded of {claim_s:.2f} s"
        raise DecodeError(Reason.DAMAGED, said)


def _times(path: Path) -> list[float]:
    if not path.exists():
        return []
    times = []
    with path.open() as lines:
        for line in lines:
            stamp, _, unit = line.partition(" ")
            if stamp.lstrip("-").isdigit():
                times.append(float(int(stamp) * Fraction(unit)))
    return times


def _claim(log: str) -> float | None:
    found = _CLAIM.search(log)
    if found is None:
        return None
    hours, minutes, seconds, start_s = (float(group) for group in found.groups())
    claim_s = 3600 * hours + 60 * minutes + seconds
    if _MATROSKA.search(log):
        claim_s -= max(0.0, start_s)  # Said there is when the last frame ends, not how long it is.
    return claim_s if claim_s <= _BELIEVABLE_CLAIM_S else None


def _check_end(completed: Completed) -> None:
    """Raise if the run was stopped, by us or by a signal."""
    if completed.timed_out or completed.returncode == -signal.SIGXCPU:
        raise DecodeError(Reason.DECODER_TIMEOUT, "did not end in time")
    if completed.stdout_overflow:
        raise DecodeError(Reason.TOO_LONG, "more frames than fit in memory")
    if completed.returncode == -signal.SIGXFSZ:
        raise DecodeError(Reason.DECODER_CRASHED, "wrote more than it may")
    if completed.returncode < 0:
        name = signal.Signals(-completed.returncode).name
        killed = completed.returncode == -signal.SIGKILL  # Not by us: by the kernel, out of memory.
        raise DecodeError(Reason.DECODER_MEMORY if killed else Reason.DECODER_CRASHED, name)


def _check_trouble(trouble: list[str], decoded: Decoded, completed: Completed) -> None:
    """Raise if the decoder complained about anything at all."""
    if not trouble and not completed.stderr_overflow:
        return
    said = "; ".join(trouble[:3]) or "the decoder had more to say than could be kept"
    if _TOO_MANY_PIXELS.search(said):
        raise DecodeError(Reason.TOO_MANY_PIXELS, said)
    # Which of its threads complains first is chance: what ran out may be named last.
    lacking = next((line for line in trouble if _NO_MEMORY.search(line)), None)
    if lacking is not None and "max_streams" not in said:  # Too many of them are told as ENOMEM.
        raise DecodeError(Reason.DECODER_MEMORY, lacking)
    is_video = decoded.frames or _VIDEO.search(completed.stderr) or _CUT_OFF.search(said)
    raise DecodeError(Reason.DAMAGED if is_video else Reason.NOT_VIDEO, said)
