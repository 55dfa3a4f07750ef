-- Notices and stamps of those who scanned a book.
-- A notice is cut from its first words to its last, if those are near; a stamp wherever it is alone on a line. After "with funding from" the
-- next line names a sponsor.
WITH seen AS MATERIALIZED (
    SELECT d, n, blanks, line, lag(line) OVER w AS before, max(n) OVER (PARTITION BY d) AS last FROM lines WINDOW w AS (PARTITION BY d ORDER BY n)
), notices(beginning, ending, within) AS (
    VALUES ('(?i)^this is a digital copy of a book that was preserved for generations', '(?i)books ?\. ?google ?\. ?com', 150),
        ('(?i)^\W*a distributed proofreaders canada e-?book|^this e-?book is made available at no cost and with very few',
            '(?i)^\W*(this e-?book was produced by|faded ?page e-?book #)', 80)
), bounds AS (
    SELECT s.d, s.n AS first, max(e.n) AS final FROM seen s JOIN notices ON regexp_matches(s.line, beginning)
    JOIN seen e ON e.d = s.d AND e.n BETWEEN s.n AND s.n + within AND regexp_matches(e.line, ending) GROUP BY s.d, s.n
), gone AS (
    SELECT s.d, s.n FROM seen s JOIN bounds b ON b.d = s.d AND s.n BETWEEN first AND final
    -- The last words may be the beginning of a paragraph, such as the names of who produced it.
    UNION SELECT s.d, s.n FROM seen s JOIN (SELECT e.d, e.n, e.blanks FROM seen e JOIN bounds b ON b.d = e.d AND b.final = e.n) e
        ON e.d = s.d AND e.blanks = s.blanks AND s.n BETWEEN e.n AND e.n + 8
    UNION SELECT d, n FROM seen WHERE regexp_full_match(line,
        '(?i)\W*digiti[sz]ed by (the )?(internet archive|google|\S*oo\S*q\S*( ?ic)?)\W*'
        || '|in (19|20)\d\d with funding from.{0,60}'
        || '|\W*(https?://)?(www\.)?archive\.org/details/\S+'
        || '|\W*generated (on|at|for) .{0,80}(gmt|hathitrust).{0,80}'
        || '|.{0,80}(https?://)?hdl\.handle\.net/2027/\S+.{0,40}'
        || '|\W*public domain(, google-digitized)?( in the united states)?\W*(https?://)?(www\.)?hathitrust\.org\S*'
        || '|\W*(https?://)?(www\.)?hathitrust\.org/access_use\S*'
        || '|\W*faded ?page (canada )?e-?book #?\d{6,}\W*')
        OR regexp_full_match(line, 'Original from( [A-Z][A-Z .&]+)?')
    UNION SELECT d, n FROM seen WHERE regexp_full_match(before, '(?i)in (19|20)\d\d with funding from') AND length(line) <= 60
    UNION SELECT d, n FROM seen WHERE n > last - 20 AND regexp_full_match(line, '(?i)\[(the )?end of .{3,150} by .{3,80}\]')
)
SELECT d, n, line AS before, NULL AS line, length(line) AS characters FROM lines JOIN gone USING (d, n)
