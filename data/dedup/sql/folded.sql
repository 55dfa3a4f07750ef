-- Word hashes of `batch` (number, text) by consonants alone, for texts older than fixed spelling: between editions u and v, i and j, doubled
-- letters and final e vary, consonants seldom do. Words without a consonant disappear.
WITH skeleton AS (
    SELECT number, list_reduce(
        ['b', 'c', 'd', 'f', 'g', 'h', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'x', 'z'],
        lambda text, letter: replace(text, letter || letter, letter),
        translate(lower(text), getvariable('separators') || 'aeiouyvwj', repeat(' ', length(getvariable('separators'))::INTEGER))) AS text
    FROM batch)
SELECT number, word_hashes(text) AS hashes FROM skeleton;
