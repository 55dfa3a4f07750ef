-- The words of a text, as data/documents/words.py defines them. Variable `separators` holds the characters between words.
-- A macro's argument is computed wherever its body names it: hash the words in a materialized step before making grams of them.
CREATE OR REPLACE TEMP MACRO plain(t) AS
    translate(lower(t), getvariable('separators'), repeat(' ', length(getvariable('separators'))::INTEGER));

CREATE OR REPLACE TEMP MACRO spaced(t) AS
    list_filter(string_split(t, ' '), lambda word: word <> '');

CREATE OR REPLACE TEMP MACRO words(t) AS
    spaced(plain(t));

CREATE OR REPLACE TEMP MACRO word_hashes(t) AS
    list_transform(words(t), lambda word: hash(word));

-- One number for all texts of equal words; NULL for a text without any. The list of one is there so that the words are found once.
CREATE OR REPLACE TEMP MACRO fingerprint(t) AS
    list_transform([array_to_string(words(t), ' ')], lambda joined: CASE WHEN joined <> '' THEN md5_number(joined) END)[1];
