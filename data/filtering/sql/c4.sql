-- C4's rules over documents and lines. Table measured: the rules that remove whole documents, before any line is cut.
CREATE OR REPLACE TEMP TABLE measured AS
SELECT n, regexp_matches(text, '(?i)lorem ipsum')::INTEGER AS lorem_ipsum, (contains(text, '{') OR contains(text, '}'))::INTEGER AS curly_brackets
FROM plain;

-- cut: the first rule that cuts the line; NULL: it stays. place: its number, from 1.
CREATE OR REPLACE TEMP TABLE line_cut AS
SELECT n, place, plain,
    CASE WHEN plain = '' THEN NULL
         WHEN getvariable('terminal_punctuation') AND NOT regexp_matches(plain, '[.!?"''”’»]$') THEN 'c4 terminal punctuation'
         WHEN NOT regexp_matches(plain, getvariable('enough_words')) THEN 'c4 line words'
         WHEN getvariable('javascript') AND regexp_matches(plain, '(?i)javascript') THEN 'c4 javascript'
         WHEN getvariable('policies') AND regexp_matches(plain, getvariable('policy')) THEN 'c4 policies'
    END AS cut
FROM (
    SELECT n, unnest(generate_series(1, len(lines))) AS place, trim(unnest(lines)) AS plain
    FROM (SELECT n, string_split(text, chr(10)) AS lines FROM plain)
);

-- A line that ends a sentence has at least one, so sentences are counted only in documents with few such lines.
CREATE OR REPLACE TEMP TABLE sentences AS
WITH kept AS (
    SELECT n, plain, regexp_matches(plain, '[.!?…]["''\p{Pe}\p{Pf}]*$') AS ends FROM line_cut WHERE cut IS NULL AND plain <> ''
), few AS (
    SELECT n FROM plain ANTI JOIN (SELECT n FROM kept WHERE ends GROUP BY n HAVING count(*) >= getvariable('minimum_sentences')) USING (n)
)
SELECT n, coalesce(sum(len(regexp_extract_all(plain, '[.!?…]+["''\p{Pe}\p{Pf}]*(?: |$)'))), 0) AS sentences
FROM few LEFT JOIN kept USING (n) GROUP BY n;
