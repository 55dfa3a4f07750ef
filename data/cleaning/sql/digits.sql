-- Letters that OCR read in place of digits: l and I for 1, O and o for 0, in a run of nothing else that has as many digits as letters.
-- What ends in l, I or a single o stays: 50l. is fifty pounds, and 4o a quarto. So do I2 and the like, which may be signatures of sheets.
WITH likely AS (
    SELECT d, n, line FROM lines WHERE regexp_matches(line, '[0-9][lIOo]|[lIOo][0-9]')
), tokens AS (
    SELECT d, n, unnest(list) AS token, unnest(generate_series(1, len(list))) AS place FROM (SELECT d, n, string_split(line, ' ') AS list FROM likely)
), numbers AS (
    SELECT *, replace(regexp_extract(token,
        '^["''(\[$£]*([lIOo0-9]{2,}|[lIOo0-9]{1,3}(?:,[lIOo0-9]{3})+)(?:st|nd|rd|th)?[.,;:!?"'')\]—-]*$', 1), ',', '') AS number
    FROM tokens
), judged AS (
    SELECT d, n, token, place, regexp_matches(number, '[lIOo]') AND regexp_matches(number, '[0-9]') AND (
        regexp_full_match(number, '[0-9]+(?:O+|oo+)') OR (
            regexp_matches(number, '[0-9O]$') AND (length(number) >= 3 OR starts_with(number, 'l'))
            AND 2 * length(regexp_replace(number, '[0-9]', '', 'g')) <= length(number))) AS misread
    FROM numbers
), reread AS (
    SELECT d, n, string_agg(CASE WHEN misread THEN translate(token, 'lIOo', '1100') ELSE token END, ' ' ORDER BY place) AS reread
    FROM judged GROUP BY d, n HAVING bool_or(misread)
)
SELECT d, n, line AS before, reread AS line, hamming(line, reread) AS characters FROM likely JOIN reread USING (d, n)
