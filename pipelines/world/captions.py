"""What people of the sample world write under a film: hashtags in every spelling, and chatter."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

Forms = tuple[tuple[str, ...], ...]

_WORDS: Mapping[str, Forms] = MappingProxyType(
    {
        "shooting basketball": (("shooting", "shoot"), ("basketball", "basketbal")),
        "bouncing on trampoline": (("bouncing", "bounc"), ("on",), ("trampoline", "trampolin")),
        "hula hooping": (("hula",), ("hooping", "hoop")),
        "swinging on something": (("swinging", "swing"), ("on",), ("something", "someth")),
        "juggling balls": (("juggling", "juggl"), ("balls", "ball")),
        "driving car": (("driving", "drive"), ("car",)),
        "spinning poi": (("spinning", "spin"), ("poi",)),
        "breakdancing": (("breakdancing", "breakdanc"),),
        "bowling": (("bowling", "bowl"),),
        "shaking head": (("shaking", "shake"), ("head",)),
        "skiing slalom": (("skiing", "ski"), ("slalom",)),
        "tobogganing": (("tobogganing", "toboggan"),),
    }
)
"""Each word of a label: as it is, and its Snowball stem where that differs (paper 3.1)."""

_THINGS: Mapping[str, str] = MappingProxyType(
    {
        "shooting basketball": "basketball",
        "driving car": "sportscar",
        "swinging on something": "swing",
        "skiing slalom": "alp",
    }
)
"""A thing in the film that some people tag beside the action; a noun, and no Kinetics label."""

_DROPPABLE = frozenset({"on"})
CHATTER_TAGS = (
    "fyp", "nature", "viral", "foryou", "explorepage", "goodvibes", "weekend", "sunsetlover",
    "природа", "日本", "추천", "حياتي", "été2024", "🔥", "tbt", "nofilter", "familytime",
)  # fmt: skip
"""Hashtags that stand for no Kinetics label."""

_TEXTS = (
    "Sunday well spent", "wait for it...", 'he said "never again"', "part 2 in bio",
    "first try,\nsecond try,\nthird try", "كل يوم جديد", "לא להאמין", "сегодня было круто",
    "今日の一本 🎬", "10/10, would do again; ask me how", "no words 😮‍💨", "L'été, enfin!", "",
    "tab\there & <b>bold</b>", "100% real, no cap",
)  # fmt: skip


def relevant_tag(label: str, rng: np.random.Generator) -> str:
    """One relevant hashtag of the label, with its '#', as somebody might type it.

    Three in five are the label's words run together; the rest are stems, other orders and without
    function words. One in fourteen begins with a full-width number sign.
    """
    words = _WORDS[label]
    if rng.random() < 0.6:
        chosen = [forms[0] for forms in words]
    else:
        kept = [f for f in words if f[0] not in _DROPPABLE or rng.random() < 0.3]
        chosen = [str(kept[int(i)][int(rng.integers(len(kept[int(i)])))])
                  for i in rng.permutation(len(kept))]  # fmt: skip
    spell = (str, str.capitalize, str.upper)[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
    sign = "\uff03" if rng.random() < 0.07 else "#"
    return sign + "".join(spell(word) for word in chosen)


def caption(labels: Sequence[str], rng: np.random.Generator) -> str:
    """A caption that carries a relevant hashtag of every given label amid other text and tags."""
    chatter = rng.choice(len(CHATTER_TAGS), int(rng.integers(1, 4)), replace=False)
    tags = [relevant_tag(label, rng) for label in labels]
    tags += ["#" + CHATTER_TAGS[int(index)] for index in chatter]
    tags += [f"#{_THINGS[label]}" for label in labels if label in _THINGS and rng.random() < 0.6]
    order = rng.permutation(len(tags))
    text = _TEXTS[int(rng.integers(len(_TEXTS)))]
    joined = " ".join(tags[int(index)] for index in order)
    return f"{joined} {text}".strip() if rng.random() < 0.2 else f"{text} {joined}".strip()


def uploader(rng: np.random.Generator) -> str:
    """A handle; few people post much, many post little."""
    person = int(90 * rng.random() ** 3)
    return f"@{('mika', 'ravi', 'zoë', 'юля', 'tomás')[person % 5]}_{person}"


def licence(rng: np.random.Generator) -> str:
    """A licence's name, or nothing where the uploader said nothing."""
    return ("CC BY 4.0", "CC BY-SA 4.0", "CC0 1.0", "")[int(rng.choice(4, p=[0.4, 0.2, 0.2, 0.2]))]
