-- Notices of libraries, scanners and Project Gutenberg before and after a text.
-- A marker (*** START OF ..., *** END OF ...) cuts its own paragraph and everything between it and the farthest line that mentions such
-- things. What lies beyond that is cut too if it is a few lines; more is a text that someone put before a notice, and stays.
-- Notices near head and foot are cut as whole paragraphs; a scanner's stamp wherever it is alone on a line; a license repeated between
-- the acts wherever its paragraph occurs.
WITH ends AS (
    SELECT d, max(n) AS last FROM lines GROUP BY d
), outer_lines AS MATERIALIZED (
    SELECT d, n, line, blanks, last FROM lines JOIN ends USING (d)
    WHERE n <= greatest(getvariable('boilerplate_lines'), 60) OR n > last - greatest(getvariable('boilerplate_lines'), 60)
), markers AS (
    SELECT d,
        max(blanks) FILTER (n <= getvariable('boilerplate_lines') AND regexp_matches(line,
            '(?i)^(\*{3} ?START OF |\W*START OF (THE |THIS )?PROJECT GUTENBERG|\W*END\W{0,3}THE SMALL PRINT)')) AS head,
        min(blanks) FILTER (n > last - getvariable('boilerplate_lines') AND regexp_matches(line,
            '(?i)^(\*{3} ?END OF |\W*END OF (THE |THIS )?PROJECT GUTENBERG|\W*THIS IS THE END OF THE PROJECT GUTENBERG)')) AS foot
    FROM outer_lines GROUP BY d HAVING head IS NOT NULL OR foot IS NOT NULL
), marks AS (
    SELECT d, head, foot, min(blanks) AS first, min(n) AS first_n, max(blanks) AS final, max(n) AS final_n
    FROM outer_lines JOIN markers USING (d)
    WHERE (blanks <= head OR blanks >= foot)
        AND regexp_matches(line, '(?i)gutenberg|e-?text|e-?book|licen[sc]e|donat|copyright|scan|digiti[sz]ed|\*\*\*|https?://')
    GROUP BY d, head, foot
), notices AS (
    SELECT d, blanks FROM outer_lines WHERE n <= 80 OR n > last - 80 GROUP BY d, blanks, last
    HAVING (min(n) <= 60 OR max(n) > last - 60) AND count(*) <= 12 AND bool_or(regexp_matches(line,
        '(?i)^\W*((this )?(e-?text|e-?book|book|file|text|edition|transcription)? ?(was |is |has been )?(produced|prepared|transcribed|scanned|digiti[sz]ed|proofread|reproduced|generated)( and \w+)? (by|from|for|at) '
        || '|html version by |this (e-?book|e-?text|book|text|file|work) (is|was) (in the public domain|for the use of|provided|made available|produced|digiti[sz]ed)'
        || '|(the )?project gutenberg|release date: |posting date: |character set encoding: |\[?(e-?text|e-?book) #\d+'
        || '|(property|gift) of (the )?[\w ]*library|[\w ]*(university|public|city|college) library$|please return|date due|all rights reserved'
        || '|this book (must|should) be returned|(https?://)?(www\.)?(gutenberg\.(org|net)|archive\.org|pgdp\.net|books\.google))'))
), gone AS (
    SELECT d, n FROM lines JOIN marks USING (d) JOIN ends USING (d)
    WHERE (blanks <= head AND (first_n <= 20 OR blanks >= first)) OR (blanks >= foot AND (last - final_n <= 20 OR blanks <= final))
    UNION SELECT d, n FROM lines JOIN notices USING (d, blanks)
    UNION SELECT d, n FROM lines WHERE regexp_full_match(line, '(?i)\W*(digiti[sz]ed|scanned) (by|from|at) .{2,50}')
    UNION SELECT d, n FROM lines SEMI JOIN (SELECT d, blanks FROM lines WHERE regexp_matches(line, '(?i)^<<this electronic version')) USING (d, blanks)
)
SELECT d, n, line AS before, NULL AS line, length(line) AS characters FROM lines JOIN gone USING (d, n)
