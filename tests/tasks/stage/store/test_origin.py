"""The commit that something is said to be made at, and whether the checkout had changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.stage.store.origin import git_state


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one package, all of it committed."""
    (tmp_path / "rooms" / "inner").mkdir(parents=True)
    for name in ("rooms/__init__.py", "rooms/inner/stage.py", "README.md"):
        (tmp_path / name).write_text("")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "All"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def dirty(checkout: Path) -> bool:
    git_state.cache_clear()
    commit, changed = git_state(checkout / "rooms")
    assert len(commit) == 40
    return changed


def test_texts_and_recipes_of_a_user_beside_the_code_are_no_change_of_it(checkout: Path) -> None:
    assert not dirty(checkout)
    (checkout / "my books").mkdir()
    for name in ("my books/emma.txt", "my books/recipe.yaml", "mine.yaml"):
        (checkout / name).write_text("text")
    assert not dirty(checkout)


@pytest.mark.parametrize(
    "name", ["README.md", "rooms/inner/stage.py", "rooms/new.sql", "rooms/added/page.html", "new.py", "more/__init__.py"]
)
def test_an_edited_file_a_new_program_or_package_and_any_new_file_inside_a_folder_of_the_commit_is_a_change(
    checkout: Path, name: str
) -> None:
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("x = 1")
    assert dirty(checkout)


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    git_state.cache_clear()
    assert git_state(tmp_path) == ("", False)
