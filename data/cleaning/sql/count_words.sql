-- How often each run of characters between spaces stands in the lines of some documents (table counted). A word broken at a line's end
-- is no word and doesn't count.
SELECT chunk, count(*) AS times FROM (
    SELECT unnest(string_split(CASE WHEN ends_with(line, '-') THEN regexp_replace(line, '\S+-$', '') ELSE line END, ' ')) AS chunk
    FROM lines SEMI JOIN counted USING (d)
) WHERE chunk <> '' GROUP BY chunk
