from pathlib import Path

import pytest

from formats.confinement import layers
from pipelines import decoders
from pipelines.decoders import describe_layers, note_layers
from pipelines.run import JobError


def test_a_job_tells_what_bound_its_decoders_once_however_often_it_ran(tmp_path: Path) -> None:
    for _ in range(3):
        note_layers(tmp_path, "auto")
    assert describe_layers(tmp_path) == "decoders were bound by " + ", ".join(("limits", *layers()))


def test_workers_that_differ_are_told_apart_and_a_weak_one_is_refused_where_all_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "layers", lambda: ("landlock", "seccomp"))
    note_layers(tmp_path, "require")
    # No machine here lacks a layer.
    monkeypatch.setattr(decoders, "layers", lambda: ("seccomp",))
    with pytest.raises(JobError, match=r"grants no landlock, and fetch\.sandbox=require"):
        note_layers(tmp_path, "require")
    note_layers(tmp_path, "auto")
    assert describe_layers(tmp_path).endswith("limits, landlock, seccomp / limits, seccomp")
