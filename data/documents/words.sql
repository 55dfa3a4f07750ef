-- The words of a text, as data/documents/words.py defines them. Variable `separators` holds the characters between words.
-- A macro's argument is computed wherever its body names it: hash the words in a materialized step before making grams of them.
CREATE OR REPLACE TEMP MACRO words(t) AS
    list_filter(
        string_split(translate(lower(t), getvariable('separators'), repeat(' ', length(getvariable('separators'))::INTEGER)), ' '),
        lambda word: word <> '');

CREATE OR REPLACE TEMP MACRO word_hashes(t) AS
    list_transform(words(t), lambda word: hash(word));

-- One number for all texts of equal words; NULL for a text without any.
CREATE OR REPLACE TEMP MACRO fingerprint(t) AS
    md5_number(nullif(array_to_string(words(t), ' '), ''));
