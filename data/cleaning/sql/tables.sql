-- The state of a shard's cleaning between batches. d: a document's number in the order of ids.
-- fate: pending (to be processed again), settled (nothing changed), reopened (settled, but to be processed again in the next round), removed
-- (too short), untouched (a program, which no rule reads). round: the last round that changed the text; 0: never changed. seen: the last
-- round that processed it. size_in, size: its characters before cleaning and now. texts: what the rounds wrote.
CREATE TEMP TABLE state (d INTEGER, id VARCHAR, size_in BIGINT, size BIGINT, round INTEGER, fate VARCHAR, seen INTEGER);
CREATE TEMP TABLE texts (d INTEGER, round INTEGER, text VARCHAR);

-- The account. rule: its number in the table of rules. line: the text after the edit; NULL: removed.
CREATE TEMP TABLE ledger (d INTEGER, rule INTEGER, pieces BIGINT, characters BIGINT, net BIGINT);
CREATE TEMP TABLE edits (d INTEGER, round INTEGER, rule INTEGER, n INTEGER, place INTEGER, inner_place INTEGER, before VARCHAR, line VARCHAR);

-- Documents that OCR misread.
CREATE TEMP TABLE machine_read (d INTEGER);

-- How often each run of non-space characters occurs: in this round's documents, and in settled ones.
CREATE TEMP TABLE counts (chunk VARCHAR, times BIGINT);
CREATE TEMP TABLE settled_counts (chunk VARCHAR, times BIGINT);

-- Roman numerals up to 399.
CREATE TEMP TABLE romans AS
SELECT k::INTEGER AS value, repeat('c', (k // 100)::INTEGER) || tens[k // 10 % 10 + 1] || ones[k % 10 + 1] AS numeral
FROM range(1, 400) AS numbers(k), (SELECT ['', 'x', 'xx', 'xxx', 'xl', 'l', 'lx', 'lxx', 'lxxx', 'xc'] AS tens,
    ['', 'i', 'ii', 'iii', 'iv', 'v', 'vi', 'vii', 'viii', 'ix'] AS ones);

-- Lines that belong to the page and not to the text, see pages.sql.
CREATE TEMP TABLE furniture (d INTEGER, n INTEGER, kind VARCHAR);
-- Places where the word model is not to be followed, see modelled_documents.sql.
CREATE TEMP TABLE doubted (d INTEGER, n INTEGER, place INTEGER);
