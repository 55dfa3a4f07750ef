-- Straight quotation marks and apostrophes. Doubled single marks (``so'') become double marks; a lone grave accent before a word is an
-- opening mark. Guillemets stay, since French is written with them.
WITH changed AS (
    SELECT *, replace(translate(replace(replace(line, '``', '"'), '´´', '"'), '“”„‟‘’‚‛`´', '""""'''''''''''''), '''''', '"') AS straight
    FROM suspects WHERE regexp_matches(line, '[“”„‟‘’‚‛`´]|''''')
)
SELECT d, n, line AS before, straight AS line,
    greatest(length(line) - length(regexp_replace(line, '[“”„‟‘’‚‛`´]', '', 'g')), length(line) - length(straight), 1) AS characters
FROM changed WHERE straight <> line
