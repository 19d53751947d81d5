"""Pictures that people lay over a video: captions, a logo, a sticker.

They are drawn here, so that no font of the machine and no build of ffmpeg decides how they look.
"""

from collections.abc import Callable, Mapping

from PIL import Image, ImageDraw, ImageFont

Size = tuple[int, int]
_CLEAR = (0, 0, 0, 0)
_WHITE, _BLACK, _RED, _YELLOW = ("#ffffff", "#000000", "#d62828", "#ffd23f")
_LINES = ("wait for it...", "you won't believe it")
OVERLAYS = ("bar_text", "big_text", "logo", "sticker")


def draw_overlay(name: str, size: Size) -> Image.Image:
    """A picture of this size (width, height) in RGBA, clear where the video shows through.

    `bar_text` is a black line of text in the middle of the top fifth, `big_text` two outlined lines
    over the lower half, `logo` a badge in a corner, `sticker` a face 28 % as wide as the picture.
    """
    picture = Image.new("RGBA", size, _CLEAR)
    _DRAWN[name](ImageDraw.Draw(picture), size)
    return picture


def _bar_text(draw: ImageDraw.ImageDraw, size: Size) -> None:
    width, height = size
    font = _font(_LINES[1], 0.8 * width, 0.12 * height)
    draw.text((width / 2, 0.1 * height), _LINES[1], fill=_BLACK, font=font, anchor="mm")


def _big_text(draw: ImageDraw.ImageDraw, size: Size) -> None:
    width, height = size
    for line, words in enumerate(_LINES):
        font = _font(words, 0.85 * width, 0.15 * height)
        place = (width / 2, (0.64 + 0.18 * line) * height)
        edge = max(1, height // 100)
        draw.text(place, words, _WHITE, font, anchor="mm", stroke_width=edge, stroke_fill=_BLACK)


def _logo(draw: ImageDraw.ImageDraw, size: Size) -> None:
    width, _ = size
    side, gap = 0.14 * width, 0.03 * width
    box = (width - gap - side, gap, width - gap, gap + 0.6 * side)
    draw.rounded_rectangle(box, 0.1 * side, fill=_RED)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(middle, "TV 4", _WHITE, _font("TV 4", 0.8 * side, 0.4 * side), anchor="mm")


def _sticker(draw: ImageDraw.ImageDraw, size: Size) -> None:
    width, height = size
    radius, x, y = 0.14 * width, 0.68 * width, 0.6 * height
    edge = max(1, round(0.05 * radius))
    draw.ellipse(_around(x, y, radius), fill=_YELLOW, outline=_BLACK, width=edge)
    for side in (-1, 1):
        draw.ellipse(_around(x + side * 0.4 * radius, y - 0.25 * radius, 0.14 * radius), _BLACK)
    draw.arc(_around(x, y, 0.55 * radius), 20, 160, fill=_BLACK, width=2 * edge)


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return (x - radius, y - radius, x + radius, y + radius)


def _font(words: str, width: float, height: float) -> ImageFont.FreeTypeFont:
    """The font that Pillow brings along, as large as the words may be."""
    probe = _sized(100)
    return _sized(max(6, int(min(height, 100 * width / probe.getlength(words)))))


def _sized(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, so it can draw no text of a size")
    return font


_DRAWN: Mapping[str, Callable[[ImageDraw.ImageDraw, Size], None]] = {
    "bar_text": _bar_text,
    "big_text": _big_text,
    "logo": _logo,
    "sticker": _sticker,
}
