"""Hostile chat templates come to an end; those of real models are rendered as before."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer, models, pre_tokenizers

from data.shards.chat_template import BoundedEnvironment, TemplateLimitError, template_environment
from data.shards.model_folder import parse_tokenizer

LOOP = "{% for a in range(99999) %}"
HOSTILE = {
    "loops in loops": LOOP * 4 + "x" + "{% endfor %}" * 4,
    "loops of filters": "{% for a in range(9999) | list %}{% for b in range(9999) | list %}{% endfor %}{% endfor %}",
    "a loop with a filter of its own": LOOP + LOOP.replace(" %}", " if b %}") + "{% endfor %}{% endfor %}",
    "a text doubled": "{% set n = namespace(x='aaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a text added to itself": "{% set n = namespace(x='aaaa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "a text many times": "{{ 'a' * 10**10 }}",
    "many times a text": "{{ 10**10 * 'a' }}",
    "a list many times": "{{ ([0] * 10**10) | length }}",
    "a large power": "{{ 9 ** (9 ** 9) }}",
    "a wide format": "{{ '%10000000000d' % 1 }}",
    "a computed width": "{{ '%*d' % (10000000000, 1) }}",
    "a wide precision": "{{ '%.10000000000f' % 1 }}",
    "a wide field": "{{ '{:>10000000000}'.format(1) }}",
    "a computed field": "{{ '{:>{}}'.format(1, 10000000000) }}",
    "a wide filter": "{{ 'a' | center(10000000000) }}",
    "a format by a filter": "{{ '%10000000000d' | format(1) }}",
    "a deep indentation": "{{ ('a\\n' * 1000) | indent(40000000) }}",
    "a wide JSON": "{{ [1] | tojson(indent=10000000000) }}",
    "a text replaced by a longer one": "{{ ('a' * 3000000) | replace('a', 'b' * 1000) }}",
    "a text that replaces itself": "{{ ('a' * 3000000).replace('a', 'b' * 1000) }}",
    "filters over long ranges": "{% for a in range(99999) %}{{ range(99999) | map('string') | join | length }}{% endfor %}",
    "paragraphs without end": "{{ lipsum(n=30000000) }}",
    "a loop that calls itself with much": (
        "{% for a in range(9999) recursive %}{% if loop.depth < 5 %}{{ loop(range(9999)) }}{% endif %}{% endfor %}"
    ),
    "a wide method": "{{ 'a'.center(10**10) }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a loop that calls itself": "{% for a in [[1]] recursive %}{{ loop([a, a, a]) }}{% endfor %}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_template_ends_in_an_error_and_in_time(kind: str) -> None:
    began = time.process_time()
    with pytest.raises((TemplateError, OverflowError)):
        template_environment().from_string(HOSTILE[kind]).render(messages=[])
    assert time.process_time() - began < 20


@given(rows=st.lists(st.lists(st.text("ab", max_size=3), max_size=4), max_size=4))
def test_a_template_within_the_limits_is_rendered_as_jinja_does(rows: list[list[str]]) -> None:
    text = (
        "{% for row in rows %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{% for one in row if one %}{{ one ~ '-' ~ loop.index0 }}"
        "{% else %}none{% endfor %}{{ loop.nextitem | length if loop.nextitem }}{% endfor %}{{ 'x' * 3 + 'y' }}{{ 2 ** 10 }}"
        "{{ '%5d|%s|%-3.1f' % (7, 'a', 1.25) }}{{ 7 % 3 }}{{ 'at: 20261202 %s' % 1 }}{{ '{:>5}|{}'.format(1, 20261202) }}"
        "{{ 20261202 | string | center(20) }}{{ rows | map('length') | join(',') }}{{ 'a b' | replace(' ', '-') | indent(2) }}"
    )
    plain = ImmutableSandboxedEnvironment().from_string(text).render(rows=rows)
    assert BoundedEnvironment().from_string(text).render(rows=rows) == plain


def test_each_text_has_a_budget_of_its_own() -> None:
    template = template_environment().from_string("{% for a in range(90000) %}{% endfor %}")
    for _ in range(30):
        template.render()
    with pytest.raises(TemplateLimitError, match="loops"):
        template_environment().from_string("{% for b in range(30) %}{% for a in range(90000) %}{% endfor %}{% endfor %}").render()


def test_a_tokenizer_saved_with_truncation_and_padding_reads_texts_whole() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    saved = tokenizer.to_str()
    assert json.loads(saved)["truncation"] is not None
    assert parse_tokenizer(saved.encode()).encode("a " * 100).ids == [0] * 100
