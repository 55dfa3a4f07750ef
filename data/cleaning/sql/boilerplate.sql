-- What libraries, scanners and Project Gutenberg put before and after a text.
-- A marker (*** START OF ..., *** END OF ...) cuts its own paragraph and everything on its far side. Notices near head and
-- foot go as whole paragraphs; a scanner's stamp goes wherever it stands alone on a line.
WITH numbered AS (
    SELECT *, max(n) OVER (PARTITION BY d) AS last,
        count(*) FILTER (line = '') OVER (PARTITION BY d ORDER BY n ROWS UNBOUNDED PRECEDING) AS paragraph
    FROM lines
), marks AS (
    SELECT d,
        max(paragraph) FILTER (n <= getvariable('boilerplate_lines') AND regexp_matches(line,
            '(?i)^(\*{3} ?START OF |\W*START OF (THE |THIS )?PROJECT GUTENBERG|\W*END\W{0,3}THE SMALL PRINT)')) AS head,
        min(paragraph) FILTER (n > last - getvariable('boilerplate_lines') AND regexp_matches(line,
            '(?i)^(\*{3} ?END OF |\W*END OF (THE |THIS )?PROJECT GUTENBERG|\W*THIS IS THE END OF THE PROJECT GUTENBERG)')) AS foot
    FROM numbered GROUP BY d
), notices AS (
    SELECT d, paragraph, bool_or(regexp_matches(line,
        '(?i)^\W*((this )?(e-?text|e-?book|book|file|text|edition|transcription)? ?(was |is |has been )?(produced|prepared|transcribed|scanned|digiti[sz]ed|proofread|reproduced|generated)( and \w+)? (by|from|for|at) '
        || '|html version by |this (e-?book|e-?text|book|text|file|work) (is|was) (in the public domain|for the use of|provided|made available|produced|digiti[sz]ed)'
        || '|(the )?project gutenberg|release date: |posting date: |character set encoding: |\[?(e-?text|e-?book) #\d+'
        || '|(property|gift) of (the )?[\w ]*library|[\w ]*(university|public|city|college) library$|please return|date due|all rights reserved'
        || '|this book (must|should) be returned|(https?://)?(www\.)?(gutenberg\.(org|net)|archive\.org|pgdp\.net|books\.google))')) AS found
    FROM numbered WHERE line <> ''
    GROUP BY d, paragraph, last HAVING (min(n) <= 60 OR max(n) > last - 60) AND count(*) <= 12
), judged AS (
    SELECT l.*, line <> '' AND (l.paragraph <= coalesce(m.head, -1) OR l.paragraph >= coalesce(m.foot, l.paragraph + 1) OR coalesce(p.found, false)
        OR regexp_full_match(line, '(?i)\W*(digiti[sz]ed|scanned) (by|from|at) .{2,50}')) AS gone
    FROM numbered l JOIN marks m USING (d) LEFT JOIN notices p ON p.d = l.d AND p.paragraph = l.paragraph
)
SELECT d, n, CASE WHEN NOT gone THEN line END AS line, page, gone::INTEGER AS pieces, CASE WHEN gone THEN length(line) ELSE 0 END AS characters
FROM judged
