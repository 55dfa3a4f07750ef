"""Whether a reply solves a question of any sort: by running its program, by a scorer of reasoning-gym, or by its accepted answers."""

from __future__ import annotations

from model.rewards.answers import Question, answer_of, is_right


def is_solved(reply: str, question: Question) -> bool:
    """Return whether a reply gives an accepted answer, a function that is right for all hidden inputs, or what a scorer counts as whole."""
    if "trials" in question:
        from model.rewards.program import run_trials

        return run_trials(answer_of(reply), question) == len(question["trials"])
    if "entry" in question:
        from model.rewards.gym import score_entry

        return score_entry(answer_of(reply), question["entry"]) >= 1.0
    return is_right(reply, question["answers"])
