"""Asking questions and recording the replies."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch

from model.evaluation.questions import Answer, ask, edit_distance, error_rates
from model.inference.chat_format import ChatFormat
from model.inference.generation import generate_batch
from model.networks.decoder import Decoder
from model.rewards.answers import first_sentence, is_right


def test_every_question_is_recorded_with_its_reply_and_grade(decoder: Decoder, chat_format: ChatFormat, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    asked = [{"question": f"Who walked to {n}?", "answers": ["zzz"], "fact": f"f{n}"} for n in range(7)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in asked))
    score, records = ask(decoder.decoding(), chat_format, path, answer_tokens=8)
    assert score == 0 and [record["fact"] for record in records] == [f"f{n}" for n in range(7)]
    said = next(record for record in records if record["reply"].strip())
    word = first_sentence(said["reply"])
    path.write_text(json.dumps({"question": said["question"], "answers": [word], "fact": "x"}) + "\n")
    expected = is_right(said["reply"], [word])
    assert ask(decoder.decoding(), chat_format, path, answer_tokens=8)[0] == float(expected)


def test_a_question_too_long_for_the_context_counts_as_wrong_and_is_recorded_as_not_asked(
    decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    questions = ["Who walked?", "Who " * 80, "Who?"]
    path.write_text("".join(json.dumps({"question": text, "answers": ["zzz"]}) + "\n" for text in questions))
    score, records = ask(decoder.decoding(), chat_format, path, answer_tokens=8)
    assert score == 0 and [record["asked"] for record in records] == [True, False, True]
    assert [record["question"] for record in records] == questions and records[1]["reply"] == ""


def test_asked_again_later_a_question_follows_others_with_the_models_own_replies(
    decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    path, network = tmp_path / "questions.jsonl", decoder.decoding()
    questions = ["Who walked?", "Where to?", "Why?"]
    path.write_text("".join(json.dumps({"question": text, "answers": ["zzz"]}) + "\n" for text in questions))
    _, alone = ask(network, chat_format, path, answer_tokens=6)
    turns = [[("user", record["question"]), ("assistant", record["reply"].strip())] for record in alone]
    messages = [{"role": role, "content": text} for turn in (turns[1], turns[2], turns[0][:1]) for role, text in turn]
    (reply,) = generate_batch(network, [chat_format.encode_chat(messages)], 6, chat_format.stop_ids)
    said = first_sentence(chat_format.decode(reply))
    assert said and said != first_sentence(alone[0]["reply"])
    accepted = [[said], ["zzz"], ["zzz"]]
    lines = [{"question": text, "answers": answers} for text, answers in zip(questions, accepted, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, again = ask(network, chat_format, path, answer_tokens=6, earlier=2)
    assert [record["right_later"] for record in again] == [is_right(said, [said]), False, False]
    assert [record["reply"] for record in again] == [record["reply"] for record in alone]


def test_a_conversation_that_would_fill_the_context_begins_later(decoder: Decoder, chat_format: ChatFormat, tmp_path: Path) -> None:
    path, network = tmp_path / "questions.jsonl", decoder.decoding()
    texts = [*(f"Who walked to {n}?" for n in range(16)), f"Who {'walked ' * 80}?"]
    path.write_text("".join(json.dumps({"question": text, "answers": ["zzz"]}) + "\n" for text in texts))
    _, records = ask(network, chat_format, path, answer_tokens=6, earlier=16)
    assert [record["asked"] for record in records] == [True] * 16 + [False]
    assert not any(record["right_later"] for record in records)


def test_what_was_said_before_a_question_is_shown_before_it(decoder: Decoder, chat_format: ChatFormat, tmp_path: Path) -> None:
    path, network = tmp_path / "questions.jsonl", decoder.decoding()
    before = [{"role": "user", "content": "Who walked?"}, {"role": "assistant", "content": "Ada walked."}]
    path.write_text(json.dumps({"question": "Where does she live?", "answers": ["zzz"], "before": before}) + "\n")
    _, (record,) = ask(network, chat_format, path, answer_tokens=6)
    messages = [*before, {"role": "user", "content": "Where does she live?"}]
    (reply,) = generate_batch(network, [chat_format.encode_chat(messages)], 6, chat_format.stop_ids)
    assert record["reply"] == chat_format.decode(reply) and record["before"] == before
    path.write_text(json.dumps({"question": "Where does she live?", "answers": ["zzz"]}) + "\n")
    _, (alone,) = ask(network, chat_format, path, answer_tokens=6)
    assert alone["reply"] != record["reply"] and "before" not in alone


def test_an_exact_question_is_right_if_every_token_of_its_answer_is_the_likeliest(
    decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    path, entries, right = tmp_path / "questions.jsonl", [], []
    for number, answer in enumerate(f"{first} {second}" for first in ("the cat", "walked", "Emil", "in") for second in ("the", "to", ".")):
        question = f"Who walked {'to the ' * (number % 3)}river"
        asked, whole = (chat_format.encode_document(text) for text in (question, f"{question} {answer}"))
        likeliest = decoder.logits({"tokens": torch.tensor([whole[:-1]])})[0].argmax(-1).tolist()
        right.append(likeliest[len(asked) - 1 :] == whole[len(asked) :])
        entries.append({"question": question, "answers": [answer], "fact": str(number), "exact": True})
        guessed = chat_format.decode(likeliest[len(asked) - 1 : len(asked)])
        if guessed.startswith(" ") and chat_format.encode_document(question + guessed) == [*asked, likeliest[len(asked) - 1]]:
            entries.append({"question": question, "answers": [guessed[1:]], "fact": "guessed", "exact": True})
            right.append(True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    share, records = ask(decoder.decoding(), chat_format, path, batch=5)
    assert [record["right"] for record in records] == right and 0 < share < 1
    path.write_text(json.dumps({"question": "Who " * 80, "answers": ["x"], "exact": True}) + "\n")
    assert [record["asked"] for record in ask(decoder.decoding(), chat_format, path)[1]] == [False]


def test_an_answer_that_is_as_likely_as_another_is_wrong(decoder: Decoder, chat_format: ChatFormat, tmp_path: Path) -> None:
    path, network = tmp_path / "questions.jsonl", copy.deepcopy(decoder)
    for number in range(40):
        question = f"Who walked {'to the ' * (number % 9)}{'river' * (number // 9)}".strip()
        asked = chat_format.encode_document(question)
        guess = int(network.logits({"tokens": torch.tensor([asked])})[0, -1].argmax())
        answer = chat_format.decode([guess])
        if answer.startswith(" ") and chat_format.encode_document(question + answer) == [*asked, guess]:
            break
    path.write_text(json.dumps({"question": question, "answers": [answer[1:]], "exact": True}) + "\n")
    assert ask(network.decoding(), chat_format, path)[0] == 1
    (table_VD,) = network.read_weights()
    other = next(token for token in range(len(table_VD)) if token not in {*asked, guess})
    with torch.no_grad():
        table_VD[other] = table_VD[guess]
    assert ask(network.decoding(), chat_format, path)[0] == 0


def test_error_rates_are_edits_for_each_letter_and_word_of_the_answers() -> None:
    assert [edit_distance(*pair) for pair in (("kitten", "sitting"), ("", "abc"), ("same", "same"), ("flaw", "lawn"))] == [3, 3, 0, 2]
    said = [("The Fox  runs.\nAnd more.", "the fox runs"), ("a red cat", "a cat"), ("", "go")]
    records = [Answer(question="?", answers=[answer], fact="", reply=reply, right=False, asked=True) for reply, answer in said]
    rates = {unit: (edits.tolist(), sizes.tolist()) for unit, (edits, sizes) in error_rates(records).items()}
    assert rates == {"character": ([1, 4, 2], [12, 5, 2]), "word": ([1, 1, 1], [3, 2, 1])}
