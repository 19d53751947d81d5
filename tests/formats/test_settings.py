from dataclasses import dataclass, field
from pathlib import Path

import pytest

from formats.settings import SettingsError, differences, load_settings, significant, to_toml


@dataclass(frozen=True)
class Engine:
    speed: float = 1.5
    gears: int = 4
    names: tuple[str, ...] = ()
    turbo: bool = False
    colour: str = "red"
    threads: int = field(default=1, metadata={"operational": True})

    def __post_init__(self) -> None:
        if self.gears < 1:
            raise ValueError(f"gears must be at least 1, got {self.gears}")


@dataclass(frozen=True)
class Car:
    engine: Engine = field(default_factory=Engine)


def test_later_words_win_over_files_and_files_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "car.toml"
    file.write_text('[engine]\nspeed = 2\ngears = 5\nnames = ["a", "b"]\n')
    car = load_settings(Car, [str(file)], ["engine.gears=6", "engine.turbo=true"])
    assert car == Car(Engine(speed=2.0, gears=6, names=("a", "b"), turbo=True))


def test_a_list_is_given_as_words_between_commas() -> None:
    assert load_settings(Car, overrides=["engine.names=a, b"]).engine.names == ("a", "b")
    assert load_settings(Car, overrides=["engine.names="]).engine.names == ()


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    car = Car(Engine(speed=0.25, names=('a "quoted"', "ü\n"), colour="back\\slash"))
    (tmp_path / "car.toml").write_text(to_toml(car))
    assert load_settings(Car, [str(tmp_path / "car.toml")]) == car


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("engine.gear=3", "'gear' is no option of [engine]; did you mean 'gears'?"),
        ("motor.gears=3", "'motor' is no section; known: engine"),
        ("engine.gears=many", "engine.gears: wants an int, got 'many'"),
        ("engine.gears=0", "engine: gears must be at least 1, got 0"),
        ("engine.turbo=maybe", "engine.turbo: wants true or false, got 'maybe'"),
        ("gears=3", "'gears=3' is not of the form section.option=value"),
    ],
)
def test_a_wrong_word_is_refused_with_a_hint(word: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(Car, overrides=[word])
    assert str(caught.value) == message


def test_a_wrong_file_is_refused_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[engine\n")
    with pytest.raises(SettingsError, match="bad.toml: cannot be read as TOML"):
        load_settings(Car, [str(bad)])
    with pytest.raises(SettingsError, match="no such settings file"):
        load_settings(Car, [str(tmp_path / "none.toml")])
    bad.write_text("gears = 3\n")
    with pytest.raises(SettingsError, match="stands outside a"):
        load_settings(Car, [str(bad)])
    bad.write_text("[engine]\ngears = 3.5\n")
    with pytest.raises(SettingsError, match=r"wants an int, got 3\.5"):
        load_settings(Car, [str(bad)])


def test_operational_options_are_not_significant() -> None:
    assert "threads" not in significant(Engine()) and "speed" in significant(Engine())


def test_differences_names_only_what_was_changed() -> None:
    assert list(differences(Car(Engine(gears=5)))) == [("engine.gears", 5, 4)]
