"""What hosts of the web answer, well and badly, and what must come of each row."""

import gzip
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

from tests.pipelines.faulty_server import reset, send, sized, whole
from tests.trials.hostile_hosts import Answer, Case, good, hung_up, in_turn, status

MAX_TRIES, MAX_REDIRECTS, MAX_BYTES = 3, 5, 2 << 20
PAGE = b"<!DOCTYPE html><html><body>404: no such video</body></html>" * 20
NOISE = bytes((number * number * 31 + number // 7) % 251 for number in range(40_000))
REJECTED, LATER = "rejected", "retry_later"


def well_cases(video: bytes) -> list[Case]:
    """A host that does everything right, and what rightly looks odd."""

    def unsized(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, 200, video)

    odd = ["/clip.mp4?id=1", "//a///b.mp4", "/uni/%C3%BC.mp4", "/q.mp4?a=%26b&c=d%2Fe", "/noname"]
    return [
        *(Case(f"/{number}.mp4", good(video)) for number in range(40)),
        *(Case(path, good(video)) for path in odd),
        Case("/text.mp4", good(video, Content_Type="text/html; charset=utf-8")),
        Case("/identity.mp4", good(video, Content_Encoding="identity")),
        Case("/unsized.mp4", unsized),
        Case("/chunked.mp4", chunks(video, b"0\r\n\r\n")),
        Case("/other.mp4", good(video, X_Robots_Tag="otherbot: noai, noindex")),
        Case("/later.mp4", good(video, X_Robots_Tag="unavailable_after: 25 Jun 2090 15:00 GMT")),
    ]


def status_cases(video: bytes) -> list[Case]:
    """Status codes, once and for ever."""
    soon = {"Date": format_datetime(datetime.now(UTC))}
    soon["Retry_After"] = format_datetime(datetime.now(UTC) + timedelta(seconds=2))
    return [
        *(_refused(code, "gone") for code in (404, 410, 451)),
        *(_refused(code, "denied") for code in (400, 401, 402, 403, 405, 418)),
        *(_refused(code, "broken_server") for code in (204, 206, 300, 304, 416, 501)),
        *(_refused(code, "broken_server", MAX_TRIES) for code in (500, 502, 504, 599)),
        Case("/503-once.mp4", in_turn(status(503, Retry_After="1"), good(video)), requests=2),
        Case("/429-once.mp4", in_turn(status(429, Retry_After="1"), good(video)), requests=2),
        Case("/date.mp4", in_turn(status(429, **soon), good(video)), requests=2),
        Case("/odd-wait.mp4", in_turn(status(503, Retry_After="soon"), good(video)), requests=2),
        Case("/500-twice.mp4", in_turn(status(500), status(502), good(video)), requests=3),
        Case("/moved.mp4", status(302), f"{REJECTED}:broken_server"),
    ]


def redirect_cases(video: bytes, beyond: dict[str, str]) -> tuple[list[Case], dict[str, Answer]]:
    """Redirects; `beyond` has the outcome of addresses elsewhere. Rows, and where they lead."""

    def leaves(number: int, location: str, outcome: str) -> Case:
        # Where nobody answers: tried again from the start, unless other rows have found out before.
        requests = None if outcome.startswith(LATER) else 1
        return Case(f"/beyond{number}.mp4", status(302, Location=location), outcome, requests)

    rows = [
        Case("/self.mp4", status(302, Location="/self.mp4"), _no("redirects"), MAX_REDIRECTS + 1),
        Case("/empty.mp4", status(302, Location=""), _no("redirects"), MAX_REDIRECTS + 1),
        Case("/ping.mp4", status(301, Location="/pong.mp4"), _no("redirects"), 3),
        Case("/half.mp4", status(302, Location="http://[half/"), _no("redirects")),
        Case("/hop/5", status(302, Location="/hop/4")),
        Case("/hop/11", status(302, Location="/hop/10"), _no("redirects")),
        *(
            Case(f"/{code}.mp4", in_turn(status(code, Location="goal")))
            for code in (301, 302, 303, 307, 308)
        ),
        *(leaves(number, *there) for number, there in enumerate(beyond.items())),
    ]
    hops = {f"/hop/{n}": status(302, Location=f"/hop/{n - 1}") for n in range(1, 11) if n != 5}
    leads = {"/pong.mp4": status(302, Location="/ping.mp4"), "/goal": good(video)}
    return rows, {**hops, **leads, "/hop/0": good(video)}


def body_cases(video: bytes, other: bytes) -> list[Case]:
    """Bodies that do not come as they were announced, and those that are no video."""
    middle = len(video) // 2
    return [
        *_broken_bodies(video[:middle], len(video)),
        *_resumed_bodies(video, other),
        *_coded_bodies(video),
        Case("/endless.mp4", endless, _no("too_large")),
        Case("/announced.mp4", lambda h, _: sized(h, 10**10, video[:99]), _no("too_large")),
        Case("/page.mp4", good(PAGE, Content_Type="text/html"), _no("not_video")),
        Case("/page-as-video.mp4", good(PAGE, Content_Type="video/mp4"), _no("not_video")),
        Case("/json.mp4", good(b'{"error": "gone"}'), _no("not_video")),
        Case("/playlist.mp4", good(b"#EXTM3U\n/etc/passwd\n"), _no("not_video")),
        Case("/noise.mp4", good(NOISE), _no("not_video")),
        Case("/empty.mp4", good(b""), _no("empty")),
        Case("/half-as-whole.mp4", good(video[:middle]), _no("damaged")),
        Case("/says-less.mp4", lambda h, _: sized(h, middle, video), _no("damaged")),
        Case("/half-unsized.mp4", lambda h, _: send(h, 200, video[:middle]), _no("damaged")),
    ]


def rule_cases(video: bytes) -> tuple[list[Case], bytes]:
    """What publishers forbid, and their robots.txt."""
    rules = (
        b"# ours\nUser-agent: *\nDisallow: /\n\nUser-Agent: Tagreel\nDisallow: /private/\n"
        b"Allow: /private/open\nCrawl-delay: 0.4\n"
    )
    tags = ("noai", "noimageai", "NoIndex, nofollow", "none", "otherbot: all, tagreel: noai")
    return [
        *(
            Case(f"/tag{number}.mp4", good(video, X_Robots_Tag=tag), _no("opted_out"))
            for number, tag in enumerate(tags)
        ),
        Case("/private/0.mp4", good(video), _no("robots_disallowed"), 0),
        Case("/%70rivate/1.mp4", good(video), _no("robots_disallowed"), 0),
        Case("/private/open.mp4", good(video)),
        *(Case(f"/public/{number}.mp4", good(video)) for number in range(4)),
    ], rules


def slow_cases(video: bytes) -> list[Case]:
    """A host that takes its time, to the end or for ever."""
    timeout = _no("timeout")

    def steadily(handler: BaseHTTPRequestHandler, _: int) -> None:
        sized(handler, len(video), video[:1000])
        for start in range(1000, len(video), 1 + len(video) // 8):
            hung_up(handler, 0.2)
            handler.wfile.write(video[start : start + 1 + len(video) // 8])

    def half(handler: BaseHTTPRequestHandler, _: int) -> None:
        sized(handler, len(video), video[: len(video) // 2])
        hung_up(handler, 60.0)

    def drip_header(handler: BaseHTTPRequestHandler, _: int) -> None:
        drip(handler, b"HTTP/1.1 200 OK\r\nX-A: ")

    def drip_body(handler: BaseHTTPRequestHandler, _: int) -> None:
        drip(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")

    return [
        *(Case(f"/drip{number}.mp4", drip_body, timeout) for number in range(10)),
        Case("/header.mp4", drip_header, timeout),
        Case("/silence.mp4", silence, timeout, None),
        Case("/half.mp4", half, timeout, None),
        Case("/steady.mp4", steadily),
    ]


def burst_cases(video: bytes) -> list[Case]:
    """Videos of a host that has enough after every few requests."""
    asked = [0]

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        asked[0] += 1
        if asked[0] % 8 < 2:
            send(handler, 429, Retry_After="1", Content_Length="0")
        else:
            whole(handler, video)

    return [Case(f"/{number}.mp4", answer, requests=None) for number in range(16)]


def drip(handler: BaseHTTPRequestHandler, start: bytes) -> None:
    """One byte now and then, for as long as anyone listens."""
    handler.wfile.write(start)
    while not hung_up(handler, 0.3):
        handler.wfile.write(b"x")


def silence(handler: BaseHTTPRequestHandler, _: int) -> None:
    hung_up(handler, 60.0)


def endless(handler: BaseHTTPRequestHandler, _: int) -> None:
    send(handler, 200)
    while True:
        handler.wfile.write(bytes(1 << 16))


def chunks(body: bytes, end: bytes) -> Answer:
    """A chunked body, and what comes after its one chunk."""
    sent = f"{len(body):x}\r\n".encode() + body + b"\r\n" + end
    return lambda handler, _: send(handler, 200, sent, Transfer_Encoding="chunked")


def _refused(code: int, reason: str, requests: int = 1) -> Case:
    return Case(f"/{code}.mp4", status(code), _no(reason), requests)


def _no(reason: str) -> str:
    return f"{REJECTED}:{reason}"


def _broken_bodies(half: bytes, length: int) -> list[Case]:
    def cut(handler: BaseHTTPRequestHandler, _: int) -> None:
        sized(handler, length, half)

    def reset_in_body(handler: BaseHTTPRequestHandler, number: int) -> None:
        cut(handler, number)
        reset(handler)

    answers: dict[str, Answer] = {
        "short": cut,
        "reset": reset_in_body,
        "reset-first": lambda handler, _: reset(handler),
        "cut-chunk": chunks(half, b"4000\r\nabc"),
        "bad-chunk": chunks(half, b"zz\r\nabc\r\n0\r\n\r\n"),
        "garbage": _raw(b"SSH-2.0-OpenSSH\r\n" * 5),
        "no-status": _raw(half),
        "long-header": _raw(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * (4 << 20) + b"\r\n\r\n"),
        "many-headers": _raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 20_000 + b"\r\n"),
    }
    always = [Case(f"/{n}.mp4", a, _no("truncated"), MAX_TRIES) for n, a in answers.items()]
    lengths = _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc")
    return [*always, Case("/lengths.mp4", lengths, _no("broken_server"))]


def _raw(said: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.wfile.write(said)

    return answer


def _coded_bodies(video: bytes) -> list[Case]:
    def coded(name: str, body: bytes) -> Case:
        return Case(f"/{name}.mp4", good(body, Content_Encoding=name), _no("encoded"))

    bomb = gzip.compress(bytes(64 << 20))
    return [
        coded("gzip", gzip.compress(video)),
        coded("deflate", zlib.compress(video)),
        coded("br", video),
        coded("zstd", video),
        Case("/bomb.mp4", good(bomb, Content_Encoding="gzip"), _no("encoded")),
        Case("/gzip-untold.mp4", good(gzip.compress(video)), _no("not_video")),
    ]


def _resumed_bodies(video: bytes, other: bytes) -> list[Case]:
    """Broken once or twice; whole in the end, and never glued from two versions."""
    middle, modified = len(video) // 2, "Mon, 01 Jan 2024 00:00:00 GMT"

    def breaks(**headers: str) -> Answer:
        def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
            sized(handler, len(video), video[:middle], **headers)
            reset(handler)

        return answer

    def part(body: bytes, first: int, code: int = 206, **headers: str) -> Answer:
        said = f"bytes {first}-{len(body) - 1}/{len(body)}"
        rest = body[first:]
        return lambda handler, _: send(
            handler, code, rest, Content_Range=said, Content_Length=str(len(rest)), **headers
        )

    tagged, changed = good(video, ETag='"1"'), good(other, ETag='"2"')
    resumed = _from_the_middle(video, middle)
    return [
        Case("/short-once.mp4", in_turn(breaks(), good(video)), requests=2),
        Case("/resumed.mp4", in_turn(breaks(ETag='"1"'), resumed), requests=2),
        Case("/dated.mp4", in_turn(breaks(Last_Modified=modified), resumed), requests=2),
        Case("/no-range.mp4", in_turn(breaks(ETag='"1"'), tagged), requests=2),
        Case("/weak.mp4", in_turn(breaks(ETag='W/"1"'), good(video)), requests=2),
        Case("/changed.mp4", in_turn(breaks(ETag='"1"'), changed), requests=2, source=other),
        Case(
            "/changed-part.mp4",
            in_turn(breaks(ETag='"1"'), part(other, middle, ETag='"2"'), changed),
            requests=3,
            source=other,
        ),
        Case(
            "/wrong-part.mp4",
            in_turn(breaks(ETag='"1"'), part(video, middle - 7), tagged),
            requests=3,
        ),
        Case("/no-part.mp4", in_turn(breaks(ETag='"1"'), part(video, 0, 416), tagged), requests=3),
        Case("/unasked-part.mp4", part(video, middle), _no("broken_server")),
    ]


def _from_the_middle(video: bytes, middle: int) -> Answer:
    """The rest, to whoever asks for it and proves that it is the rest of the same."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        asked = handler.headers.get("Range"), handler.headers.get("If-Range")
        proofs = ('"1"', "Mon, 01 Jan 2024 00:00:00 GMT")
        if asked[0] != f"bytes={middle}-" or asked[1] not in proofs:
            send(handler, 400, Content_Length="0")
            return
        said = f"bytes {middle}-{len(video) - 1}/{len(video)}"
        rest = video[middle:]
        send(handler, 206, rest, Content_Range=said, Content_Length=str(len(rest)))

    return answer
