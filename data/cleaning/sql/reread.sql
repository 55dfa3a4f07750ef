-- Misread words of the batch's blocks, one by one (table edited, n: the block), and the blocks with what they should be.
CREATE OR REPLACE TEMP TABLE torn AS
WITH hit AS (
    SELECT DISTINCT d, n FROM (SELECT d, n, unnest(string_split(line, ' ')) AS chunk FROM blocks) SEMI JOIN corrections USING (chunk)
)
SELECT d, n, unnest(list) AS chunk, unnest(generate_series(1, len(list)))::INTEGER AS place
FROM (SELECT d, n, string_split(line, ' ') AS list FROM blocks SEMI JOIN hit USING (d, n));

CREATE OR REPLACE TEMP TABLE edited AS
SELECT t.d, t.n, r.piece AS before, r.repaired AS line, greatest(length(r.piece), length(r.repaired)) AS characters, (t.place * 1000 + r.place)::INTEGER AS nth
FROM torn t JOIN reread r USING (chunk) WHERE r.changed;

UPDATE blocks SET line = r.line
FROM (SELECT d, n, string_agg(coalesce(corrected, chunk), ' ' ORDER BY place) AS line FROM torn LEFT JOIN corrections USING (chunk) GROUP BY d, n) r
WHERE blocks.d = r.d AND blocks.n = r.n;
