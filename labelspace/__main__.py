"""Show what a seed label expands to: python -m labelspace "catching a fish"."""

import argparse
import sys
from collections.abc import Sequence

from labelspace.hashtags import FORMS, LabelError, expand_label


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the relevant hashtags of each label, sorted, one a line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m labelspace", description=__doc__)
    parser.add_argument("labels", nargs="+", metavar="LABEL", help='e.g. "catching a fish"')
    parser.add_argument(
        "--forms", default="original,stem", help=f"of every word, from: {','.join(FORMS)}"
    )
    parser.add_argument("--max-hashtags", type=int, default=5000, help="per label (default 5000)")
    parser.add_argument(
        "--keep-parentheses", action="store_true", help='expand remarks, "(not in game)", too'
    )
    options = parser.parse_args(arguments)
    if options.max_hashtags < 1:
        parser.error(f"--max-hashtags must be at least 1, got {options.max_hashtags}")
    for label in options.labels:
        try:
            expanded = expand_label(
                label,
                options.forms.split(","),
                max_hashtags=options.max_hashtags,
                keep_parentheses=options.keep_parentheses,
            )
        except LabelError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        for hashtag in sorted(expanded.hashtags):
            print(f"#{hashtag}")
        if expanded.truncated:
            print(
                f"{label!r} has more spellings than the {len(expanded.hashtags):,} printed; "
                "given up first: word orders far from its own",
                file=sys.stderr,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
