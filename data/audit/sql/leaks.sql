-- Consecutive leaked n-grams form a passage; `other` is the split that also holds them.
CREATE TABLE leak AS
SELECT held_out.part, other, id, position, source
FROM held_out
JOIN (SELECT part AS other, gram, min(id) AS source FROM seen GROUP BY ALL) AS found USING (gram)
WHERE held_out.part <> other;

CREATE TABLE passage AS
WITH numbered AS (
    SELECT *, position - row_number() OVER (PARTITION BY part, other, id ORDER BY position) AS run
    FROM leak),
run AS (
    SELECT part, other, id, min(position) AS first, count(*) + getvariable('audit_words') - 1 AS words, arg_min(source, position) AS source
    FROM numbered
    GROUP BY part, other, id, run)
SELECT *
FROM run
QUALIFY row_number() OVER (PARTITION BY part, other ORDER BY words DESC, id, first) <= getvariable('audit_worst');

CREATE VIEW passage_of AS
SELECT passage.*, own.shard, own.title, holder.title AS other_title
FROM passage
JOIN described AS own ON own.part = passage.part AND own.id = passage.id
JOIN described AS holder ON holder.part = passage.other AND holder.id = passage.source;

CREATE TABLE leaked_document AS
WITH counted AS (
    SELECT part, id, count(*) FILTER (other = 'train') AS in_train, count(*) FILTER (other = 'val') AS in_val
    FROM leak
    GROUP BY part, id)
SELECT part, id, title, described.source, ngrams, in_train, in_val, greatest(in_train, in_val) / ngrams AS share
FROM counted
JOIN (SELECT part, id, count(*) AS ngrams FROM held_out GROUP BY part, id) AS whole USING (part, id)
JOIN described USING (part, id);
