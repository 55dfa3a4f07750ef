-- The hashes of the words of `batch` (number, text) by their consonants, for texts of an age without one spelling: u and v, i and j, doubled
-- letters and final e come and go between editions of one text, consonants seldom. Words of vowels alone vanish.
WITH skeleton AS (
    SELECT number, list_reduce(
        ['b', 'c', 'd', 'f', 'g', 'h', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'x', 'z'],
        lambda text, letter: replace(text, letter || letter, letter),
        translate(lower(text), getvariable('separators') || 'aeiouyvwj', repeat(' ', length(getvariable('separators'))::INTEGER))) AS text
    FROM batch)
SELECT number, word_hashes(text) AS hashes FROM skeleton;
