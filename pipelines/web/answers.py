"""What the status and the headers of an answer mean for us."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from urllib3.response import BaseHTTPResponse

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import HttpTrouble

_GONE = frozenset({404, 410, 451})
_BUSY = frozenset({429, 503})
_TRANSIENT = frozenset({408, 425, 500, 502, 504})
_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
# Directives of X-Robots-Tag with a value, whose colon names no agent.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_NAMED = re.compile(r"\s*([a-z0-9_*-]+)\s*:(.*)", re.DOTALL)


def check_answer(response: BaseHTTPResponse, options: FetchOptions) -> None:
    """Return if the answer is a whole, plain body that may be used.

    Raises:
        HttpTrouble: `gone`, `denied`, `busy`, `broken_server`, `opted_out` or `encoded`.
    """
    status = response.status
    if status != 200:
        raise status_trouble(status, response.headers)
    if options.robots_tags:
        _check_robots_tags(response.headers.getlist("X-Robots-Tag"), options.user_agent)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise HttpTrouble(Reason.ENCODED, f"Content-Encoding: {encoding}")


def opts_out(robots_tag: str, agent: str) -> bool:
    """Whether an X-Robots-Tag value asks this agent, or everyone, to keep away.

    An agent's name before a colon holds for what follows, up to the next name.

    >>> opts_out("noai", "tagreel"), opts_out("otherbot: noindex, nofollow", "tagreel")
    (True, False)
    >>> opts_out("unavailable_after: 25 Jun 2030 15:00:00 GMT, NoIndex", "tagreel")
    True
    """
    named = "*"
    for part in robots_tag.lower().split(","):
        found = _NAMED.fullmatch(part)
        if found and found[1] not in _VALUED:
            named, part = found[1], found[2]
        if part.strip() in _OPT_OUTS and named in ("*", agent):
            return True
    return False


def product_token(user_agent: str) -> str:
    """The name, in lower case, that robots.txt and X-Robots-Tag know an agent by.

    >>> product_token("Tagreel/0.1 (+https://example.com)")
    'tagreel'
    """
    return user_agent.partition("/")[0].strip().lower()


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that a Retry-After header asks for, 0 without one that can be read.

    A date counts from the server's own `Date`, so that a wrong clock on either side does no harm.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until = _moment(value)
    now = _moment(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else 0.0


def status_trouble(status: int, headers: Mapping[str, str]) -> HttpTrouble:
    """The trouble that an answer is whose status is not the wanted one."""
    trouble = _meaning(status, f"HTTP {status}")
    trouble.status = status
    if trouble.reason == Reason.BUSY:
        trouble.after_s = retry_after_s(headers)
    return trouble


def _check_robots_tags(values: Iterable[str], user_agent: str) -> None:
    agent = product_token(user_agent)
    for value in values:
        if opts_out(value, agent):
            raise HttpTrouble(Reason.OPTED_OUT, f"X-Robots-Tag: {value}")


def _meaning(status: int, said: str) -> HttpTrouble:
    if status in _GONE:
        return HttpTrouble(Reason.GONE, said)
    if status in _BUSY:
        return HttpTrouble(Reason.BUSY, said, again=True, later=True)
    if status in _TRANSIENT or status >= 500:
        return HttpTrouble(Reason.BROKEN_SERVER, said, again=status != 501)
    if 400 <= status < 500:
        return HttpTrouble(Reason.DENIED, said)
    return HttpTrouble(Reason.BROKEN_SERVER, said)


def _moment(date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # Strangers write any number.
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
