-- How often each run of non-space characters occurs in the lines of the documents in table counted. The first part of a word broken at a
-- line end isn't counted.
SELECT chunk, count(*) AS times FROM (
    SELECT unnest(string_split(CASE WHEN ends_with(line, '-') THEN regexp_replace(line, '\S+-$', '') ELSE line END, ' ')) AS chunk
    FROM lines SEMI JOIN counted USING (d) WHERE NOT block
) WHERE chunk <> '' GROUP BY chunk
