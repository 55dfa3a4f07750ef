-- The long pieces of `batch` (number, text) between variable `piece_break`, for documents that stay. The long pieces of a document are freed of
-- punctuation in one string, with a character between them that is no separator of words: a call for each line would cost four times as much.
INSERT INTO piece
WITH split AS (
    SELECT number, string_split_regex(text, getvariable('piece_break')) AS pieces
    FROM batch
    SEMI JOIN (SELECT number FROM verdict WHERE rule IS NULL) USING (number)),
placed AS (SELECT number, generate_subscripts(pieces, 1) AS position, unnest(pieces) AS piece FROM split),
long AS (
    SELECT number, list(position ORDER BY position) AS positions, string_agg(replace(piece, chr(1), ' '), chr(1) ORDER BY position) AS text
    FROM placed
    WHERE length(piece) >= getvariable('piece_min_characters')
    GROUP BY number),
plain AS MATERIALIZED (SELECT number, positions, plain(text) AS text FROM long),
worded AS MATERIALIZED (
    SELECT number, unnest(positions) AS position, array_to_string(spaced(unnest(string_split(text, chr(1)))), ' ') AS words
    FROM plain)
SELECT number, position, md5_number(words) FROM worded WHERE words <> '';
