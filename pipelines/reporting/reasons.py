"""What each reason of a video that was not stored means, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from formats.tables import Reason


@dataclass(frozen=True)
class Advice:
    """One reason in words."""

    meaning: str
    remedy: str


ADVICE: Mapping[Reason, Advice] = {
    Reason.BAD_URI: Advice("The URI is not one that can be fetched.", "Correct the catalog."),
    Reason.SOURCE_NOT_ALLOWED: Advice(
        "URIs of this kind are not followed, or the file is outside the catalog's folder.",
        "Add the kind to fetch.sources, or move the file below the catalog.",
    ),
    Reason.DENIED_ADDRESS: Advice(
        "The host resolves to a private or reserved address.",
        "If that is meant, name the address in fetch.allow_addresses.",
    ),
    Reason.UNREACHABLE: Advice(
        "No such host, or nothing answers there.", "Check the network, then RETRY=unreachable."
    ),
    Reason.GONE: Advice("The post or file is no longer there (404, 410).", "Nothing: link rot."),
    Reason.DENIED: Advice(
        "The server wants a login or refuses us (401, 403, 451).",
        "Fetch it yourself if you may, and list the file.",
    ),
    Reason.OPTED_OUT: Advice(
        "The publisher asks not to be used for training.", "Nothing: respect it."
    ),
    Reason.ROBOTS: Advice(
        "The host's robots.txt does not allow it to us.", "Nothing: respect it, or ask the host."
    ),
    Reason.BUSY: Advice(
        "The server asks to slow down (429, 503).", "Nothing: the next run tries again."
    ),
    Reason.BROKEN_SERVER: Advice(
        "The server failed, or its answer was no valid HTTP.", "Later, RETRY=broken_server."
    ),
    Reason.REDIRECTS: Advice(
        "More redirects than fetch.max_redirects, or a loop.", "List the final URI."
    ),
    Reason.TIMEOUT: Advice(
        "Not done within fetch.deadline_s, or silent for fetch.idle_s.",
        "Raise them on a slow network, then RETRY=timeout.",
    ),
    Reason.TOO_LARGE: Advice("More bytes than fetch.max_bytes.", "Raise it if you want these."),
    Reason.ENCODED: Advice(
        "The server compressed the answer although told not to.", "Nothing on your side."
    ),
    Reason.TRUNCATED: Advice(
        "The connection ended before the last byte, every time.", "Later, RETRY=truncated."
    ),
    Reason.HOST_FAILING: Advice(
        "Its host failed fetch.host_failures times in a row and was left alone.",
        "Nothing: the next run tries again.",
    ),
    Reason.EMPTY: Advice("The file has no bytes.", "Correct the source."),
    Reason.NOT_VIDEO: Advice(
        "Not a video file: often a web page, an image or a playlist.",
        "List the address of the file, not of the page that shows it.",
    ),
    Reason.DAMAGED: Advice(
        "Part of the video cannot be decoded.", "Fetch it anew from a better copy."
    ),
    Reason.TOO_FEW_FRAMES: Advice(
        "Fewer frames than fetch.min_frames: a still, or start_s lies beyond the video's end.",
        "Correct start_s; a still holds no motion.",
    ),
    Reason.TOO_SHORT: Advice(
        "Shorter than fetch.min_duration_s when decoded.", "Lower it if you want these."
    ),
    Reason.TOO_LONG: Advice(
        "Longer than fetch.max_duration_s when decoded.", "Raise it if you want these."
    ),
    Reason.TOO_MANY_PIXELS: Advice(
        "A frame has more pixels than fetch.max_pixels.", "Raise it if you trust the source."
    ),
    Reason.DECODER_TIMEOUT: Advice(
        "Decoding took longer than fetch.decode_deadline_s.",
        "Raise it on a slow machine, then RETRY=decoder_timeout.",
    ),
    Reason.DECODER_MEMORY: Advice(
        "Decoding wanted more than fetch.decode_memory_bytes.",
        "Raise it if you trust the source, then RETRY=decoder_memory.",
    ),
    Reason.DECODER_CRASHED: Advice(
        "The decoder died; the file may be hostile.", "Do not open it elsewhere."
    ),
}


def advice_on(reason: str) -> Advice:
    """The advice on a reason as a table spells it."""
    if reason in set(Reason):
        return ADVICE[Reason(reason)]
    return Advice("A reason that this version does not know.", "Look into the videos table.")
