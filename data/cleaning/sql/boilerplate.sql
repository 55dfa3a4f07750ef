-- Notices of libraries, scanners and Project Gutenberg before and after a text.
-- A marker (*** START OF ..., *** END OF ...) cuts its own paragraph and everything between it and the farthest line that mentions such
-- things. What lies beyond that is cut too if it is a few lines; more is a text that someone put before a notice, and stays.
-- Notices need more evidence than how they begin, since authors write "Prepared by boiling", too.
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
), paragraphs AS (
    SELECT d, blanks, arg_min(line, n) AS beginning, string_agg(line, ' ' ORDER BY n) AS text, count(*) AS size FROM outer_lines
    WHERE n <= 80 OR n > last - 80 GROUP BY d, blanks, last HAVING (min(n) <= 60 OR max(n) > last - 60) AND count(*) <= 12
), likely AS MATERIALIZED (
    -- sure: words that only such notices have, or a name alone behind "scanned by". The others need one that is sure, or a marker, in their document.
    SELECT d, blanks, regexp_matches(text, '(?i)gutenberg|\be-?text|\be-?book|distributed proofread|pgdp|internet archive|\bgoogle\b|hathitrust|https?://|www\.|\bdpi\b|text recognition|\bOCR\b|\bhtml (version|edition)')
        OR regexp_matches(beginning, getvariable('named_notice')) OR regexp_matches(beginning, '(?i)^\W*this book (must|should) be returned (on|to|by|within|before) ')
        OR regexp_matches(beginning, '(?i)^\W*this (book|text|file|work) is in the public domain(\W|$| (in|and|because|worldwide)\b)') AND NOT regexp_matches(beginning, '(?i)public domain of') AS sure
    FROM paragraphs WHERE regexp_matches(beginning,
        '(?i)^\W*((this )?(e-?text|e-?book|book|file|text|edition|transcription)? ?(was |is |has been )?(produced|prepared|transcribed|scanned|digiti[sz]ed|proofread|reproduced|generated)( and \w+)? (by|from|for|at) '
        || '|html version by |this (e-?book|e-?text|book|text|file|work) (is|was) (in the public domain|for the use of|provided|made available|produced|digiti[sz]ed)'
        || '|(the )?project gutenberg|release date: |posting date: |character set encoding: |\[?(e-?text|e-?book) #\d+'
        || '|please return (this|to the|on or before|promptly)|date due\W*$|all rights reserved\W*$'
        || '|this book (must|should) be returned|(https?://)?(www\.)?(gutenberg\.(org|net)|archive\.org|pgdp\.net|books\.google))')
        OR size <= 3 AND (regexp_matches(beginning, '^\W*((?i)property|gift) of ((?i)the )?(\p{Lu}[\p{L}.-]* |of )*(Library|LIBRARY)\W*$')
            OR regexp_matches(beginning, '^(The )?(\p{Lu}[\p{L}.-]* |of )*(University|Public|City|College) Library\W*$'))
), notices AS (
    SELECT d, blanks FROM likely WHERE sure OR d IN (SELECT d FROM likely WHERE sure UNION ALL SELECT d FROM markers)
        -- Of a sentence that begins like a notice nothing is known, whatever else its document has.
        AND NOT regexp_matches((SELECT text FROM paragraphs p WHERE p.d = likely.d AND p.blanks = likely.blanks), '^\W*\p{Lu}\p{Ll}+ (by|from|for|at) (the )?\p{Ll}')
), gone AS (
    SELECT d, n FROM lines JOIN marks USING (d) JOIN ends USING (d)
    WHERE (blanks <= head AND (first_n <= 20 OR blanks >= first)) OR (blanks >= foot AND (last - final_n <= 20 OR blanks <= final))
    UNION SELECT d, n FROM lines JOIN notices USING (d, blanks)
    UNION SELECT d, n FROM lines WHERE length(line) <= 80 AND regexp_matches(line, getvariable('named_notice'))
        AND regexp_matches(line, '(?i)^\W*(digiti[sz]ed|scanned) ')
    UNION SELECT d, n FROM lines SEMI JOIN (SELECT d, blanks FROM lines WHERE regexp_matches(line, '(?i)^<<this electronic version')) USING (d, blanks)
)
SELECT d, n, line AS before, NULL AS line, length(line) AS characters FROM lines JOIN gone USING (d, n)
