"""A parser that tells people who use make what is wrong in make's words."""

import argparse
from typing import NoReturn

_VARIABLES = {"--rows": "N", "--videos": "N", "--pairs": "N"}
"""Options that the Makefile fills in, by the variable's name."""


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without its usage."""

    def error(self, message: str) -> NoReturn:
        """End with 2."""
        for option, variable in _VARIABLES.items():
            message = message.replace(f"argument {option}:", f"{variable} (argument {option}):")
        self.exit(2, f"tagreel: {message}\n")
