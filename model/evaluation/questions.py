"""Ask a chat model questions and grade its answers; and probes, the probability of a word after a prompt.

A reply is greedy, and right if its first sentence contains an accepted answer (the rule of `model/rewards/answers.py`), or, where the
question asks for a program or is of reasoning-gym, if that says so. A question that fills the model's context is not asked; it counts as
wrong and is recorded as such. An exact question is the beginning of a document: right if each token of its first answer, given those
before it, is likelier than every other. A tie is wrong, or a model that knows nothing would be right wherever the answer comes first.

Asked with documents, each question is answered twice: closed-book, and with the passages that retrieval finds in the prompt.

Probes: the probability of a word after a prompt, at the beginning of a document.

It is the product over the word's tokens, as the tokenizer writes prompt and word together, so it is the probability that the text
continues with these characters, even if they only begin a longer word.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, Protocol, TypedDict

import numpy as np

from data.shards.address import declines
from data.shards.names import DEPTHS
from data.shards.pictures import PARTS, named_pictures, read_pictures
from model.evaluation.intervals import FEWEST, Units, paired_difference, proportion
from model.inference.chat import fit_prompt
from model.inference.documents import Citation, Passage, cited, fits_in, with_passages
from model.inference.generation import generate_batch
from model.rewards.answers import Question, answer_of, messages_of, read_questions
from model.rewards.kinds import is_solved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.evaluation.config import ConsultConfig
    from model.inference.chat_format import ChatFormat, Message
    from model.networks.decoding import DecodingNetwork
    from model.networks.network import Network


class Answer(TypedDict):
    """A question with the reply to it and its grade.

    `before`: what was said before it, if anything. `right_later`: the grade after other questions in one conversation.
    """

    question: str
    reply: str
    right: bool
    asked: bool
    answers: list[str]
    fact: str
    before: NotRequired[list[dict[str, str]]]
    right_later: NotRequired[bool]


def ask(
    network: DecodingNetwork, chat_format: ChatFormat, questions: Path, *, answer_tokens: int = 32, batch: int = 128, earlier: int = 0
) -> tuple[float, list[Answer]]:
    """Ask each question of a JSON lines file in a conversation of its own; return the share answered right and a record of each.

    With `earlier` it is asked again as the last of a conversation, behind so many others with the model's own replies; what does not fit
    into the context is left out as chat does. Pictures that questions name are in parts.parquet beside the file.
    """
    entries = read_questions(questions)
    if all(entry.get("exact") for entry in entries):
        records = _continued(network, chat_format, entries, batch)
        return sum(record["right"] for record in records) / len(records), records
    names = {name for entry in entries for message in messages_of(entry) for name in named_pictures(message["content"])}
    shown = show_pictures(network, chat_format, questions.parent / PARTS, names)
    prompts = [chat_format.encode_chat(messages_of(entry), pictures=shown) for entry in entries]
    replies = _replies(network, chat_format, prompts, answer_tokens, batch)
    records = [
        Answer(
            question=entry["question"],
            answers=entry["answers"],
            fact=entry["fact"],
            reply=reply or "",
            right=is_solved(reply or "", entry),
            asked=reply is not None,
        )
        for entry, reply in zip(entries, replies, strict=True)
    ]
    for record, entry in zip(records, entries, strict=True):
        if "before" in entry:
            record["before"] = entry["before"]
    if earlier:
        prompts = [_after_others(chat_format, records, place, earlier, network.context, answer_tokens) for place in range(len(records))]
        later = _replies(network, chat_format, prompts, answer_tokens, batch)
        for record, entry, reply in zip(records, entries, later, strict=True):
            record["right_later"] = is_solved(reply or "", entry)
    return sum(record["right"] for record in records) / len(records), records


def _continued(network: DecodingNetwork, chat_format: ChatFormat, entries: Sequence[Question], batch: int) -> list[Answer]:
    """Return a record of each exact question. A reply is the likeliest token at each place of the answer, given the answer before it."""
    import torch

    records: list[Answer] = []
    for start in range(0, len(entries), batch):
        part = entries[start : start + batch]
        texts = [chat_format.encode_document(f"{entry['question']} {entry['answers'][0]}") for entry in part]
        first = [len(chat_format.encode_document(entry["question"])) for entry in part]
        # A token that begins in the question and ends in the answer would be read as a part of the question.
        fits = [
            len(text) <= network.context and len(text) > asked and text[:asked] == chat_format.encode_document(entry["question"])
            for text, asked, entry in zip(texts, first, part, strict=True)
        ]
        counts = [len(text) - 1 if fit else 1 for text, fit in zip(texts, fits, strict=True)]
        tokens_NT = torch.zeros((len(part), max(counts)), dtype=torch.int64, device=network.device)
        for row, (text, count) in enumerate(zip(texts, counts, strict=True)):
            tokens_NT[row, :count] = torch.tensor(text[:count])
        state = network.new_state()
        state.add(len(part))
        best, places = network.step_all(tokens_NT, counts, state).topk(2, dim=-1)
        for row, (entry, text, asked, fit) in enumerate(zip(part, texts, first, fits, strict=True)):
            span = slice(asked - 1, len(text) - 1)
            likeliest = places[row, span, 0].tolist() if fit else []
            tied = bool((best[row, span, 0] == best[row, span, 1]).any())
            right = fit and not tied and likeliest == text[asked:]
            reply = chat_format.decode(likeliest)
            record = Answer(question=entry["question"], answers=entry["answers"], fact=entry["fact"], reply=reply, right=right, asked=fit)
            records.append(record)
    return records


def error_rates(records: Sequence[Answer]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return, by unit (character, word), the edits between each reply and its first answer, and the units of that answer.

    Edits are insertions, deletions and substitutions (Levenshtein 1966). A reply's first line counts, in lower case, as runs of words.
    """
    pairs = [[" ".join(said.casefold().split()) for said in (_first_line(one["reply"]), one["answers"][0])] for one in records]
    found = {}
    for unit, parts in (("character", list[str]), ("word", str.split)):
        edits = [edit_distance(parts(reply), parts(answer)) for reply, answer in pairs]
        found[unit] = (np.array(edits, np.float64), np.array([max(1, len(parts(answer))) for _, answer in pairs], np.float64))
    return found


def _first_line(reply: str) -> str:
    return answer_of(reply).strip().partition("\n")[0]


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and substitutions of units that turn one into the other."""
    before = list(range(len(other) + 1))
    for row, unit in enumerate(one, start=1):
        now = [row]
        for column, against in enumerate(other, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (unit != against)))
        before = now
    return before[-1]


def show_pictures(network: DecodingNetwork, chat_format: ChatFormat, parts: Path, names: Collection[str]) -> dict[str, list[int]]:
    """Return the tokens of the named pictures and sounds in a file, by name; none for a model that reads none, to which names are words."""
    if network.config.patches is None or not names:
        return {}
    return {name: network.see(picture, chat_format.pad_id or 0) for name, picture in read_pictures([parts], names).items()}


def _replies(
    network: DecodingNetwork, chat_format: ChatFormat, prompts: Sequence[list[int]], answer_tokens: int, batch: int
) -> list[str | None]:
    """Return the greedy reply to each prompt; None for one that fills the model's context."""
    fits = [len(prompt) < network.context for prompt in prompts]
    fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    replies = iter(generate_batch(network, fitting, answer_tokens, chat_format.stop_ids, batch))
    return [chat_format.decode(next(replies)) if fit else None for fit in fits]


def _after_others(
    chat_format: ChatFormat, records: Sequence[Answer], place: int, earlier: int, context: int, answer_tokens: int
) -> list[int]:
    """Return the prompt of a chat that ends with the question at `place`; one that doesn't fit even alone is given as it is."""
    # Spread over the file, since neighbouring questions are alike.
    steps = {step * len(records) // (earlier + 1) for step in range(1, earlier + 1)} - {0}
    messages: list[Message] = []
    for other in (records[(place + step) % len(records)] for step in sorted(steps)):
        messages += [*messages_of(other), {"role": "assistant", "content": answer_of(other["reply"]).strip()}]
    asked = messages_of(records[place])
    try:
        return fit_prompt(chat_format, [*messages, *asked], context, answer_tokens)
    except ValueError:
        return chat_format.encode_chat(asked)


class Ranked(Protocol):
    """An index of passages. `by_meaning`: whether it has vectors, too."""

    @property
    def by_meaning(self) -> bool: ...
    def search(self, question: str, most: int) -> Sequence[Passage]: ...
    def by_words(self, question: str, most: int) -> Sequence[Passage]: ...
    def by_vectors(self, question: str, most: int) -> Sequence[Passage]: ...
    def supports(self, statement: str, question: str, passage: str) -> bool: ...


def consult(
    network: DecodingNetwork,
    chat_format: ChatFormat,
    questions: Path,
    index: Ranked,
    config: ConsultConfig,
    *,
    untouched: Sequence[Mapping[str, Any]] | None = None,
    batch: int = 128,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Ask questions closed-book and with passages; return metrics and a record of each.

    Metrics: recall_at_K, the share of questions whose known passage, or document where no place is known, is among the first K; the same as
    words.recall_at_K and vectors.recall_at_K where both are joined; closed and documents, the shares answered right; gain, their difference
    over the same questions; cited, the share of answers that cite; citations_right, that of citations whose known passage they name and
    whose words it has. Where asked for, declined is the share that is declined with other passages alone, an empty reply not, and
    declined_wrongly that among questions whose passage was shown. `untouched`: the records of the model before tuning, of which
    untouched.closed and untouched.documents are told too, and by how much the model is above them, question by question, as tuning.closed
    and tuning.documents. All but counts have an interval. Raise ValueError if those records are of other questions.
    """
    known = [json.loads(line) for line in questions.read_text(encoding="utf-8").split("\n") if line.strip()][: config.questions]
    if not known:
        return {"questions": 0.0}, []
    entries = read_questions(questions)[: config.questions]
    metrics = {"questions": float(len(known))}
    depth = max(DEPTHS[-1], config.passages)
    ways = {"": index.search, **({"words.": index.by_words, "vectors.": index.by_vectors} if index.by_meaning else {})}
    ranked = {way: [find(entry["question"], depth) for entry in known] for way, find in ways.items()}
    for way, lists in ranked.items():
        ranks = [_rank(found, entry) for found, entry in zip(lists, known, strict=True) if entry.get("books")]
        for depth in DEPTHS if ranks else ():
            metrics |= proportion(sum(rank <= depth for rank in ranks), len(ranks), config.confidence).metrics(f"{way}recall_at_{depth}")
    fits = fits_in(chat_format, network.context, config.answer_tokens)
    offered = [found[: config.passages] for found in ranked[""]]
    shown = [with_passages(messages_of(entry), passages, fits) for entry, passages in zip(entries, offered, strict=True)]
    closed = _replies(network, chat_format, [chat_format.encode_chat(messages_of(entry)) for entry in entries], config.answer_tokens, batch)
    told = _replies(network, chat_format, [chat_format.encode_chat(messages) for messages, _ in shown], config.answer_tokens, batch)
    others: list[str | None] = [None] * len(entries)
    if config.declined:
        strangers = [[one for one in found if not _is_place(one, place)] for found, place in zip(ranked[""], known, strict=True)]
        asked = [
            with_passages(messages_of(entry), found[: config.passages], fits)[0] for entry, found in zip(entries, strangers, strict=True)
        ]
        others = _replies(network, chat_format, [chat_format.encode_chat(messages) for messages in asked], config.answer_tokens, batch)
    records: list[dict[str, Any]] = []
    for entry, place, (_, passages), alone, reply, other in zip(entries, known, shown, closed, told, others, strict=True):
        found = [one for one in cited(answer_of(reply or ""), entry["question"], passages, index.supports) if one.cited]
        right = {"closed": is_solved(alone or "", entry), "documents": is_solved(reply or "", entry)}
        records.append(
            {"question": entry["question"], "answers": entry["answers"], "fact": entry["fact"], "books": place.get("books", [])}
            | {"closed": alone or "", "documents": reply or "", "right": right, "shown": len(passages)}
            | {"citations": [{**one.body(), "right": bool(one.supported) and _is_place(one, place)} for one in found]}
            | ({"elsewhere": other or "", "answerable": any(_is_place(one, place) for one in passages)} if config.declined else {})
        )
    metrics["shown"] = sum(record["shown"] for record in records) / len(records)
    for name in ("closed", "documents"):
        metrics |= proportion(sum(record["right"][name] for record in records), len(records), config.confidence).metrics(name)
    metrics |= _difference(records, "documents", records, "closed", "gain", config.confidence)
    if untouched is not None:
        if [record["question"] for record in untouched] != [record["question"] for record in records]:
            raise ValueError("the model before tuning was asked other questions; both are asked the held-out ones")
        for name in ("closed", "documents"):
            right = sum(record["right"][name] for record in untouched)
            metrics |= proportion(right, len(records), config.confidence).metrics(f"untouched.{name}")
            metrics |= _difference(records, name, untouched, name, f"tuning.{name}", config.confidence)
    if config.declined:
        said = [declines(answer_of(record["elsewhere"]), config.declines) for record in records]
        metrics |= proportion(sum(said), len(said), config.confidence).metrics("declined")
        if wrongly := [declines(answer_of(record["documents"]), config.declines) for record in records if record["answerable"]]:
            metrics |= proportion(sum(wrongly), len(wrongly), config.confidence).metrics("declined_wrongly")
    metrics |= proportion(sum(bool(record["citations"]) for record in records), len(records), config.confidence).metrics("cited")
    if citations := [citation for record in records for citation in record["citations"]]:
        right_ones = sum(citation["right"] for citation in citations)
        metrics |= proportion(right_ones, len(citations), config.confidence).metrics("citations_right")
    return metrics, records


def _difference(
    records: Sequence[Mapping[str, Any]], way: str, others: Sequence[Mapping[str, Any]], other: str, name: str, confidence: float
) -> dict[str, float]:
    """Return by how much one way of asking is right more often than another, question by question; nothing for very few questions."""
    if len(records) < FEWEST:
        return {}
    sides = ((records, way), (others, other))
    units = [Units(np.arange(len(rows)), np.array([float(row["right"][key]) for row in rows]), np.ones(len(rows))) for rows, key in sides]
    return paired_difference(*units, confidence=confidence).metrics(name)


def _rank(found: Sequence[Passage], known: Mapping[str, Any]) -> int:
    """Return the rank, from 1, of the first passage that is of a question's document and place; one beyond all for none."""
    return next((rank for rank, passage in enumerate(found, start=1) if _is_place(passage, known)), DEPTHS[-1] + 1)


def _is_place(passage: Passage | Citation, known: Mapping[str, Any]) -> bool:
    """Return whether a passage is of a question's document, and shares half of the shorter one's characters with its place."""
    if passage.id not in known.get("books", ()):
        return False
    if "start" not in known:
        return True
    shared = min(passage.end, known["end"]) - max(passage.start, known["start"])
    return bool(2 * shared >= min(passage.end - passage.start, known["end"] - known["start"]))


def write_records(path: Path, records: Sequence[object]) -> None:
    """Write JSON lines with sorted keys, one record a line."""
    lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def probabilities(model: Network, chat_format: ChatFormat, prompt: str, words: Sequence[str]) -> list[float]:
    """Return the probability of each word after `prompt` and a space, at the cost of a forward pass each.

    Raise ValueError if prompt and word share a token, since then P(word | prompt) is not a product of the model's outputs.
    """
    import torch

    prompt_ids = chat_format.encode_document(prompt)
    device = next(model.parameters()).device
    found: list[float] = []
    for word in words:
        ids = chat_format.encode_document(f"{prompt} {word}")
        if ids[: len(prompt_ids)] != prompt_ids or len(ids) == len(prompt_ids):
            raise ValueError(f"{word!r} shares a token with the end of {prompt!r}: end the prompt at the end of a word")
        if len(ids) > model.config.context:
            raise ValueError(f"{prompt!r} and {word!r} are {len(ids)} tokens; the context is {model.config.context}")
        with torch.no_grad():
            logits_TV = model.logits({"tokens": torch.tensor([ids[:-1]], device=device)})[0, len(prompt_ids) - 1 :]
        chosen = torch.tensor(ids[len(prompt_ids) :], device=device)
        logs = logits_TV.double().log_softmax(-1).gather(1, chosen[:, None])
        found.append(float(logs.sum().exp()))
    return found
