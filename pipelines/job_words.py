"""The job that a command's words describe."""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from formats.settings import load_settings
from pipelines.benchmarks.target_tables import check_target_sets
from pipelines.options import Options
from pipelines.run import LOCAL, Job, JobError, exclusive


@contextmanager
def described_job(arguments: argparse.Namespace) -> Iterator[Job]:
    """The job that the words describe, holding its folder; without a catalog, the sample's.

    Raises:
        JobError: another job holds the folder, there is no such catalog, target set or runner, the
            folder's dataset is not of the sample, or target sets are named for the sample.
        SettingsError: there is no such option, or its value cannot be.
    """
    with exclusive(arguments.out):
        if Path(arguments.out, "takedown.json").exists():
            importlib.import_module("pipelines.takedown").finish_takedown(arguments.out)
        if arguments.catalog is not None:
            if not Path(arguments.catalog).exists():
                raise JobError(
                    f"{arguments.catalog}: no such catalog; CATALOG names a file or folder"
                )
            yield _make_job(arguments, arguments.catalog, _names(arguments.targets), ())
            return
        sample = importlib.import_module("pipelines.sample")
        if _is_of_another(arguments.out, sample.SAMPLE_HOST):
            raise JobError(
                f"{arguments.out}: made from a catalog of your own, or for target sets of your "
                "own; name it with CATALOG (without one the sample world is used), or another OUT"
            )
        if arguments.targets:
            # Taking the sample's instead would hash videos that nobody named, without a word.
            raise JobError(
                f"{arguments.targets}: target sets of your own (TARGETS, or NAME and ROOT) need a "
                "CATALOG of your own; without one the sample world is used, which has its own"
            )
        world = sample.build_world(arguments.world)
        with sample.serve_world(arguments.world) as address:
            words = (f"fetch.connect_to={sample.SAMPLE_HOST}={address}",)
            yield _make_job(arguments, str(world.catalog), (str(world.targets),), words)


@contextmanager
def evaluated_job(arguments: argparse.Namespace) -> Iterator[Job]:
    """The job of a command that needs target videos and no catalog, holding its folder.

    Its options are those that the folder's dataset was made with, if there is one, but for what
    the words say. Without targets, it is the sample's.

    Raises:
        JobError: another job holds the folder, or as `described_job`.
        SettingsError: there is no such option, or its value cannot be.
    """
    if not arguments.targets:
        host = importlib.import_module("pipelines.sample").SAMPLE_HOST
        if _is_of_another(arguments.out, host):
            raise JobError(f"{arguments.out}: not of the sample; name TARGETS, or NAME and ROOT")
        with described_job(arguments) as job:
            yield job
        return
    with exclusive(arguments.out):
        own = arguments.out / "config.toml"
        arguments.config[:0] = [str(own)] if own.exists() else []
        arguments.catalog = ""
        yield _make_job(arguments, "", _names(arguments.targets), ())


def _is_of_another(out: Path, sample_host: str) -> bool:
    """Whether the folder was last worked on for something else than the sample."""
    config = Path(out, "config.toml")
    return config.exists() and f"{sample_host}=" not in config.read_text(encoding="utf-8")


def _make_job(
    arguments: argparse.Namespace, catalog: str, targets: tuple[str, ...], words: tuple[str, ...]
) -> Job:
    folder = files("pipelines") / "configs"
    wanted = [arguments.seed, *(["sample"] if arguments.catalog is None else [])]
    shipped = [str(folder / f"{name}.toml") for name in wanted if Path(name).name == name]
    configs = [path for path in shipped if Path(path).exists()] + arguments.config
    overrides = settings_in(arguments.words)
    if arguments.retry:
        overrides.append(f"fetch.retry={arguments.retry}")
    options = load_settings(Options, configs, [*words, *overrides])
    check_target_sets(targets)
    if arguments.runner != LOCAL:
        # Only now, for Beam takes seconds to start.
        importlib.import_module("pipelines.engine").check_runner(arguments.runner)
    return Job(
        out=arguments.out,
        seed=arguments.seed,
        options=options,
        catalog=catalog,
        targets=targets,
        runner=arguments.runner,
        beam_args=tuple(arguments.beam),
    )


def settings_in(words: Sequence[str]) -> list[str]:
    """The settings among words; a word without '=' goes on with a value that holds spaces."""
    settings: list[str] = []
    for word in " ".join(words).split():
        if "=" in word or not settings:
            settings.append(word)
        else:
            settings[-1] += f" {word}"
    return settings


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
