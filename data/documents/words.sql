-- The words of a text, as data/documents/words.py defines them. Variable `separators` holds the characters between words.
-- DuckDB evaluates a macro's argument at every use in its body: hash the words in a materialized step before making grams of them.
CREATE OR REPLACE TEMP MACRO plain(t) AS
    translate(lower(t), getvariable('separators'), repeat(' ', length(getvariable('separators'))::INTEGER));

CREATE OR REPLACE TEMP MACRO spaced(t) AS
    list_filter(string_split(t, ' '), lambda word: word <> '');

CREATE OR REPLACE TEMP MACRO words(t) AS
    spaced(plain(t));

CREATE OR REPLACE TEMP MACRO word_hashes(t) AS
    list_transform(words(t), lambda word: hash(word));

-- The same number for all texts of equal words; NULL for a text without words. The one-element list keeps the words from being computed twice.
CREATE OR REPLACE TEMP MACRO fingerprint(t) AS
    list_transform([array_to_string(words(t), ' ')], lambda joined: CASE WHEN joined <> '' THEN md5_number(joined) END)[1];
