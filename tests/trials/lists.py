"""Playlists, manifests, redirectors and scripts that want a decoder to open something else.

Each is a few bytes of text that is named like a video. `{near}` is a video beside the file, `{far}`
the same one by its whole path, `{source}` and `{stored}` how a decoder would reach another video of
its unit, as it came and as it is stored, `{port}` a listener on loopback.
"""

from collections.abc import Iterator

METADATA = "http://169.254.169.254/latest/meta-data/iam"
_HLS = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n"
_END = "#EXT-X-ENDLIST\n"
_MPD = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="1" '
    'width="128" height="96" codecs="avc1.42c00a">{}</Representation></AdaptationSet>'
    "</Period></MPD>\n"
)


def lists() -> dict[str, str]:
    """Name -> text, with places to be filled in."""
    named = {name: "ffconcat version 1.0\n" + text for name, text in _concats()}
    named |= {f"hls_{name}": _HLS + text for name, text in _segments()}
    named |= {f"dash_{name}": _MPD.replace("{}", text) for name, text in _dash().items()}
    return {f"list_{name}.mp4": text for name, text in (named | _whole()).items()}


def _concats() -> Iterator[tuple[str, str]]:
    for name, target in {
        "near": "{near}",
        "far": "{far}",
        "far_uri": "file://{far}",
        "sibling": "{source}",
        "sibling_stored": "{stored}",
        "passwd": "/etc/passwd",
        "http": "http://127.0.0.1:{port}/v.mp4",
        "metadata": METADATA,
        "subfile": "subfile,,start,0,end,0,,:{far}",
        "concat": "concat:{far}|{far}",
        "crypto": "crypto:{far}",
        "pipe": "pipe:0",
        "udp": "udp://127.0.0.1:{port}",
        "itself": "source",
    }.items():
        yield f"ffconcat_{name}", f"file '{target}'\n"
    yield "ffconcat_20000", "file '{near}'\n" * 20_000
    yield "ffconcat_options", "file '{far}'\noption protocol_whitelist file,http,tcp\n"


def _segments() -> Iterator[tuple[str, str]]:
    for name, target in {
        "near": "{near}",
        "far": "file://{far}",
        "sibling": "{stored}",
        "http": "http://127.0.0.1:{port}/segment.ts",
        "metadata": METADATA,
        "concat": "concat:http://127.0.0.1:{port}/head.m3u8|file:///etc/passwd",
        "subfile": "subfile,,start,0,end,99,,:/etc/passwd",
        "data": "data:text/plain;base64,R0xBU1M=",
        "itself": "source",
    }.items():
        yield name, f"#EXTINF:3,\n{target}\n{_END}"
    yield "endless", "#EXTINF:3,\n{near}\n"
    key = '#EXT-X-KEY:METHOD=AES-128,URI="{}",IV=0x00000000000000000000000000000000\n'
    for name, target in (("passwd", "/etc/passwd"), ("http", "http://127.0.0.1:{port}/key")):
        yield f"key_{name}", key.replace("{}", target) + f"#EXTINF:3,\n{{near}}\n{_END}"
    yield "map", '#EXT-X-MAP:URI="file://{far}"\n#EXTINF:3,\n{near}\n' + _END
    yield "range", "#EXT-X-BYTERANGE:99@0\n#EXTINF:3,\n/etc/passwd\n" + _END
    yield "variants", "#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:{port}/v.m3u8\n"
    media = '#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="v",NAME="n",URI="{near}"\n'
    yield "media", media + '#EXT-X-STREAM-INF:BANDWIDTH=1,VIDEO="v"\n{far}\n'


def _dash() -> dict[str, str]:
    template = '<SegmentTemplate media="{}/$Number$.m4s" initialization="{}" duration="3"/>'
    return {
        "far": "<BaseURL>file://{far}</BaseURL>",
        "near": "<BaseURL>{near}</BaseURL>",
        "http": "<BaseURL>http://127.0.0.1:{port}/</BaseURL>",
        "metadata": f"<BaseURL>{METADATA}</BaseURL>",
        "template": template.replace("{}", "file://{far}"),
    }


def _whole() -> dict[str, str]:
    """What is neither a concat list, an HLS playlist nor a DASH manifest."""
    entity = '<!DOCTYPE MPD [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 {host}\nt=0 0\n"
    session += "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    link = "http://127.0.0.1:{port}/v.mp4"
    return {
        "entity": entity + _MPD.replace("{}", "<BaseURL>&x;</BaseURL>"),
        "laughs": f'<!DOCTYPE MPD [<!ENTITY l0 "ha">{laughs}]><MPD>&l9;</MPD>',
        "sdp_loopback": session.replace("{host}", "127.0.0.1"),
        "sdp_multicast": session.replace("{host}", "239.255.0.1/127"),
        "asx": f'<asx version="3.0"><entry><ref href="{link}"/></entry></asx>',
        "smil": f'<smil><body><video src="{link}"/><video src="{{near}}"/></body></smil>',
        "pls": f"[playlist]\nFile1={link}\nFile2={{far}}\nNumberOfEntries=2\nVersion=2\n",
        "m3u": f"{link}\n{{far}}\n",
        "xspf": f"<playlist><trackList><track><location>{link}</location></track></trackList>"
        "</playlist>",
        "ram": "rtsp://127.0.0.1:{port}/v.rm\nfile://{far}\n",
        "rtsptext": "rtsptextrtsp://127.0.0.1:{port}/v\n",
        "shortcut": f"[InternetShortcut]\nURL={link}\n",
        "avisynth": 'FFVideoSource("{far}")\n',
        "vapoursynth": "import os\nos.system('touch /tmp/owned')\n",
        "imf": '<?xml version="1.0"?><AssetMap><AssetList><Asset><Id>urn:uuid:0</Id><ChunkList>'
        "<Chunk><Path>{near}</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>\n",
        "metadata": ";FFMETADATA1\ntitle=../../{near}\n",
        "html_meta": f'<html><meta http-equiv="refresh" content="0;url={link}"></html>',
        "svg": '<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{far}"/></svg>',
        "shell": "#!/bin/sh\ntouch /tmp/owned\n",
    }
