"""What the terminal asks of folders of models."""

from pathlib import Path

from ml.passport import PASSPORT_FILE
from runtime.terminal.data import models
from tests.model_folder import passport_of, train, write


def test_models_show_their_passports_and_what_is_wrong(tmp_path: Path) -> None:
    """A sound one with its figures, a torn one with words, a folder without a passport not at all."""
    booster = train()
    write(tmp_path / "good", passport_of(booster), booster)
    (tmp_path / "other").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / PASSPORT_FILE).write_bytes(b"{}")
    good, torn = models(str(tmp_path))
    assert (good["name"], good["error"], good["passport"]["kind"]) == ("good", None, "cancel")
    assert good["passport"]["features"]
    assert torn["name"] == "torn"
    assert "not a passport" in torn["error"]
