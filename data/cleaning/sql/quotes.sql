-- Straight quotation marks and apostrophes. Doubled single marks (``so'') are double marks; a lone grave accent before
-- a word is an opening mark. Guillemets stay: they are how French is written.
WITH changed AS (
    SELECT *, CASE WHEN NOT regexp_matches(line, '[“”„‟‘’‚‛`´]|''''') THEN line ELSE
        replace(translate(replace(replace(line, '``', '"'), '´´', '"'), '“”„‟‘’‚‛`´', '""""'''''''''''''), '''''', '"') END AS straight
    FROM lines
)
SELECT d, n, straight AS line, page, (straight <> line)::INTEGER AS pieces,
       CASE WHEN straight = line THEN 0 ELSE greatest(length(regexp_replace(line, '[^“”„‟‘’‚‛`´]', '', 'g')), length(line) - length(straight), 1) END AS characters
FROM changed
