from __future__ import annotations

import pytest

from clipbert_hf.training.recipe import RecipeError
from clipbert_hf.training.run import nest, run_script


def test_an_error_of_ours_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise RecipeError("unknown key 'x'")

    with pytest.raises(SystemExit) as end:
        run_script(main)
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: unknown key 'x'\n"


def test_other_errors_keep_their_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_script(main)


def test_names_with_slashes_become_levels() -> None:
    assert nest({"a": 1.0, "b/c": 2.0, "b/d/e": 3.0}) == {"a": 1.0, "b": {"c": 2.0, "d": {"e": 3.0}}}
