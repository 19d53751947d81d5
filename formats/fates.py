"""The closed lists: what may become of a row, and why a video was not stored."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a video was not stored: the closed list, documented in the README with what to do."""

    # The source.
    BAD_URI = "bad_uri"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    DENIED_ADDRESS = "denied_address"
    UNREACHABLE = "unreachable"
    GONE = "gone"
    DENIED = "denied"
    OPTED_OUT = "opted_out"
    ROBOTS = "robots_disallowed"
    BUSY = "busy"
    BROKEN_SERVER = "broken_server"
    REDIRECTS = "redirects"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    ENCODED = "encoded"
    TRUNCATED = "truncated"
    HOST_FAILING = "host_failing"
    # The bytes.
    EMPTY = "empty"
    NOT_VIDEO = "not_video"
    DAMAGED = "damaged"
    TOO_FEW_FRAMES = "too_few_frames"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_MANY_PIXELS = "too_many_pixels"
    DECODER_TIMEOUT = "decoder_timeout"
    DECODER_MEMORY = "decoder_memory"
    DECODER_CRASHED = "decoder_crashed"


class Fate(StrEnum):
    """What became of a matched catalog row: exactly one of these."""

    CLIP = "clip"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    RETRY_LATER = "retry_later"
    LABEL_TOO_SMALL = "label_too_small"
    NOT_SAMPLED = "not_sampled"
    TAKEN_DOWN = "taken_down"
